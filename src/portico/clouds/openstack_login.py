"""Why Keystone refuses a log-in: it says the same of a wrong password and of a wrong project, so it is asked once more."""

from portico.clouds.openstack_session import Api
from portico.clouds.openstack_settings import APPLICATION_CREDENTIAL
from portico.errors import CloudError, CloudLoginRefused, CloudRefused


def explained(api: Api, problem: CloudRefused) -> CloudRefused:
    """Return the refusal with a sentence that says which of the settings is wrong, as far as that can be found out."""
    settings = api.settings
    if not isinstance(problem, CloudLoginRefused):
        return problem
    if settings.auth_type == APPLICATION_CREDENTIAL:
        sentence = "Keystone does not accept the application credential: its id or secret is wrong, or it has expired."
        return CloudLoginRefused(sentence, problem.detail, status=401)
    try:
        names = api.projects()
    except CloudError:
        sentence = f"Keystone does not know {settings.username} with this password in the domain {settings.domain}."
        return CloudLoginRefused(sentence, problem.detail, status=401)
    mine = ", ".join(sorted(names)) or "none"
    sentence = (
        f"The password is right, but there is no project {settings.project} that {settings.username} has a role in. "
        f"The projects of this user: {mine}."
    )
    return CloudLoginRefused(sentence, problem.detail, status=401)
