package kit

import (
	"strings"

	"pam_polyinst/tests/host"
)

// Nowhere is where a session stands that cannot stand where its host stood.
const Nowhere = "/run/polyinst/empty"

// Nested is ownTmp with another word for sessions inside sessions.
func Nested(word string) string { return "[namespace]\nnested = \"" + word + "\"\n" + OwnTmp }

// Sudoers lets alice do anything by sudo, without a password.
func Sudoers(h *host.Host) {
	h.T.Helper()
	h.Need("sudo")
	h.WriteFile("/etc/sudoers", "root ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
}

// InASession runs a root shell script in a session of alice's: the sessions in it
// are nested, by runuser, which asks nobody for a password.
func InASession(h *host.Host, script string) string {
	h.T.Helper()
	h.WriteFile("/run/nest/run", "#!/bin/sh\n"+script+"\n", 0o755)
	tr := h.PamHost("service=su", "user=alice", "start", "acct", "open", "root-exec:/run/nest/run 2>&1", "close", "end")
	tr.RC("open", host.PAMSuccess)
	return strings.TrimSpace(tr.Step("root-exec").Text)
}

// PerUser lets all of a user's sessions share one namespace.
func PerUser(polydirs string) string { return "[namespace]\nscope = \"user\"\n" + polydirs }

// ShowMountNS prints the mount namespace that a process is in.
const ShowMountNS = "readlink /proc/self/ns/mnt"
