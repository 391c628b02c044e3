// Forms that want a passkey: the browser is asked first, and its answer goes along with the form.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function opened(options) {
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  const made = { ...options, challenge: bytes(options.challenge) };
  if (made.user) made.user = { ...made.user, id: bytes(made.user.id) };
  if (made.excludeCredentials) made.excludeCredentials = known(made.excludeCredentials);
  if (made.allowCredentials) made.allowCredentials = known(made.allowCredentials);
  return made;
}

function closed(credential) {
  const { response } = credential;
  const parts = ["attestationObject", "clientDataJSON", "authenticatorData", "signature", "userHandle"];
  const kept = parts.filter((name) => response[name]).map((name) => [name, text(response[name])]);
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response: Object.fromEntries(kept) };
}

async function answer(form) {
  const body = new URLSearchParams();
  if (form.elements.csrf) body.set("csrf", form.elements.csrf.value); // the log-in page has none: nobody is logged in there
  if (form.elements.alone?.checked) body.set("alone", "1");
  const asked = await fetch(form.dataset.options, { method: "POST", body });
  if (!asked.ok) throw new Error(asked.statusText);
  const { options, state } = await asked.json();
  const publicKey = opened(options);
  const credential = form.dataset.passkey === "add"
    ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey });
  form.elements.state.value = state;
  form.elements.credential.value = JSON.stringify(closed(credential));
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue; // then the form stays hidden, and there is a code to type
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    const problem = form.querySelector("[data-problem]");
    problem.hidden = true;
    try {
      await answer(form);
      form.submit();
    } catch { // the person said no, or the device has none
      problem.hidden = false;
    }
  });
}
