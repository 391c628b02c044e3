"""The files that the processes of a local desktop read, as templates."""

SSHD = """\
ListenAddress {address}
Port {port}
HostKey {etc}/ssh_host_ed25519_key
PidFile none
UsePAM no
AuthenticationMethods publickey
AuthorizedKeysFile none
TrustedUserCAKeys {run}/ssh_user_ca.pub
AllowUsers {user}
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
DisableForwarding yes
PermitUserEnvironment no
PermitUserRC no
Subsystem sftp /usr/lib/openssh/sftp-server
PrintMotd no
PrintLastLog no
UseDNS no
ClientAliveInterval 30
ClientAliveCountMax 4
SetEnv {environment}
ForceCommand case "$SSH_ORIGINAL_COMMAND" in */sftp-server) exec /usr/lib/openssh/sftp-server ;; *) exec tmux -S {run}/tmux.sock -f {etc}/tmux.conf new-session -A -s portico ;; esac
"""

TMUX = """\
set -g status off
set -g default-terminal "screen-256color"
set -g history-limit 20000
set -g escape-time 10
set -g destroy-unattached off
set -g lock-after-time 0
set -g default-shell /bin/bash
"""

SESSION = """\
#!/bin/sh
# The graphical session. Its process is the session's leader: when it ends, the session has ended.
umask 077
echo $$ > {run}/session.pid.new && mv {run}/session.pid.new {run}/session.pid
cd {home} || exit 1
xsetroot -solid '#24485c' -cursor_name left_ptr
exec openbox --sm-disable --config-file {etc}/openbox.xml --startup "/bin/sh {etc}/terminal"
"""

# What the system's own configuration of the window manager gets besides. The terminal fills the screen, and goes on doing so
# when the browser's window changes it: xterm's own -maximized does not.
APPLICATION = """\
<application name="desktop" class="XTerm"><decor>no</decor><maximized>yes</maximized><focus>yes</focus></application>
"""
OPENBOX = """\
<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc"><applications></applications></openbox_config>
"""

TERMINAL = """\
exec xterm -name desktop -fa Monospace -fs 13 -bg '#1d2730' -fg '#e8eaed' -b 8 +sb -T Terminal
"""
