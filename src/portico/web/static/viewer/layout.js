// Which keyboard this is, as Windows numbers layouts: an RDP desktop turns keys into characters itself.

const LAYOUTS = {
  "ar": 0x401, "bg": 0x402, "cs": 0x405, "da": 0x406, "de": 0x407, "de-ch": 0x807, "de-li": 0x807, "el": 0x408, "en": 0x409, "en-ca": 0x1009,
  "en-gb": 0x809, "en-ie": 0x1809, "es": 0x40a, "es-419": 0x80a, "es-mx": 0x80a, "et": 0x425, "fi": 0x40b, "fr": 0x40c, "fr-be": 0x80c,
  "fr-ca": 0x1009, "fr-ch": 0x100c, "he": 0x40d, "hr": 0x41a, "hu": 0x40e, "is": 0x40f, "it": 0x410, "ja": 0x411, "ko": 0x412, "lt": 0x427,
  "lv": 0x426, "nb": 0x414, "nl": 0x413, "nl-be": 0x813, "nn": 0x414, "no": 0x414, "pl": 0x415, "pt": 0x816, "pt-br": 0x416, "ro": 0x418,
  "ru": 0x419, "sk": 0x41b, "sl": 0x424, "sr": 0xc1a, "sv": 0x41d, "tr": 0x41f, "uk": 0x422,
};
const AZERTY = [0x40c, 0x80c, 0x813];
const QWERTZ = [0x405, 0x407, 0x40e, 0x41a, 0x41b, 0x424, 0x807, 0x100c];
const OTHER_SCRIPTS = [0x401, 0x402, 0x408, 0x40d, 0x411, 0x412, 0x419, 0x422, 0xc1a];

/** Return the layout of a language tag ("de-CH"), 0 where none is known. */
export function layoutOf(language) {
  const tag = language.toLowerCase();
  return LAYOUTS[tag] ?? LAYOUTS[tag.split("-")[0]] ?? 0;
}

/** Return the layout that fits the languages of this browser and, where it tells, the letters on the keys. */
export async function keyboardLayout(languages = navigator.languages) {
  const wanted = languages.map(layoutOf).filter(Boolean);
  let letters;
  try {
    letters = await navigator.keyboard.getLayoutMap();
  } catch {
    return wanted[0] ?? 0;
  }
  const [q, y] = [letters.get("KeyQ"), letters.get("KeyY")];
  if (q === undefined) return wanted[0] ?? 0;
  const fits = (layout) => {
    if (q === "a") return AZERTY.includes(layout);
    if (y === "z") return QWERTZ.includes(layout);
    if (q !== "q") return OTHER_SCRIPTS.includes(layout);
    return ![...AZERTY, ...QWERTZ].includes(layout);
  };
  return wanted.find(fits) ?? (q === "a" ? 0x40c : y === "z" ? 0x407 : q === "q" ? 0x409 : wanted[0] ?? 0);
}
