// Sends on what another site has brought, so that it comes from here; without scripts its button does.
document.querySelector("form[data-send]")?.requestSubmit();
