"""The kinds of centers and directories in words."""

from portico.web.rendering import N_

# What a center or a directory may be: its name and what it is, those that one begins with first.
KINDS = {
    "active-directory": (N_("Active Directory"), N_("A Microsoft or Samba domain.")),
    "ldap": (N_("OpenLDAP"), N_("A directory by the standards of LDAP.")),
    "keystone": (N_("OpenStack Keystone"), N_("The users of one domain of an OpenStack cloud.")),
    "list": (N_("A list"), N_("A handful of people whom you write down here.")),
    "oidc": (N_("OpenID Connect"), N_("A provider where people log in: Keycloak, Entra ID, Google and others.")),
    "saml": (N_("SAML 2.0"), N_("A provider where people log in: AD FS, Entra ID, Okta, Keycloak and others.")),
    "nis": (N_("NIS"), N_("The maps of ypserv, in networks that you trust.")),
    "openstack": (N_("OpenStack"), N_("A project of an OpenStack cloud.")),
    "ironic": (N_("Bare metal"), N_("Nodes of Ironic that somebody else deploys: listed and switched.")),
    "local": (N_("This machine"), N_("Desktops on the machine that the broker runs on, for a first look.")),
    "static": (N_("Machines by hand"), N_("Machines that run already: you list their addresses.")),
    "fake": (N_("Nothing real"), N_("Thousands of desktops that do not exist, to try rules and limits.")),
}
