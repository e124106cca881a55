package kit

import (
	"strings"

	"pam_polyinst/tests/host"
)

// Lies mounts a filesystem of a user's own, as users do, which says of its files
// what the entries say (chosts/liar.c).
func Lies(h *host.Host, u host.User, point string, entries ...string) *host.Process {
	h.T.Helper()
	UsersMayMount(h)
	p := h.Command(append([]string{h.Built("liar"), point}, entries...)...).As(u).Dir("/").Start()
	p.Expect("mounted")
	return p
}

// UsersMayMount lets users mount filesystems of their own that others can see.
func UsersMayMount(h *host.Host) {
	h.T.Helper()
	h.Need("fusermount3")
	if !h.Exists("/dev/fuse") {
		h.T.Skip("needs a kernel feature: /dev/fuse")
	}
	h.Sh("chmod 666 /dev/fuse; grep -qx user_allow_other /etc/fuse.conf || echo user_allow_other >>/etc/fuse.conf")
}

const InitDir = "/etc/security/polyinst/namespace.d/"

// WithInit is ownTmp with an init script and more keys.
func WithInit(keys ...string) string {
	return OwnTmp + "init = \"tmp.init\"\n" + strings.Join(keys, "\n") + "\n"
}

// script writes the init script.
func InitScript(h *host.Host, body string) {
	h.T.Helper()
	h.MustRun("mkdir", "-p", InitDir)
	h.WriteFile(InitDir+"tmp.init", "#!/bin/sh\n"+body+"\n", 0o755)
}

const (
	X11Dir = "/tmp/.X11-unix"
	KeepX  = `keep = [".X11-unix"]` + "\n"
	WhichX = "stat -c %d:%i " + X11Dir
)

const (
	Lab       = "/srv/lab"
	LabParent = host.Parents + "/lab"

	KeptLab = `
[namespace]
scope = "user"
[[polydir]]
path            = "/srv/lab"
method          = "overlay"
instance_prefix = "/var/lib/polyinst/lab/"
except          = ["root"]
`
	DroppedLab = `
[[polydir]]
path            = "/srv/lab"
method          = "overlay"
instance_prefix = "/var/lib/polyinst/lab/"
keep_changes    = false
except          = ["root"]
`
	TmpfsLab = `
[[polydir]]
path         = "/srv/lab"
method       = "overlay"
tmpfs        = { size = "1M" }
keep_changes = false
except       = ["root"]
`
)

// SeesOwnTmp reports whether a user's /tmp by su is their own.
func SeesOwnTmp(h *host.Host, user string, own bool) {
	h.T.Helper()
	seen := h.MustRun("su", user, "-c", WhichTmp)
	if own {
		InInstance(h, "su "+user, user, seen)
	} else {
		InPublic(h, "su "+user, seen)
	}
}

const OwnProc = `
[[polydir]]
path   = "/proc"
method = "proc"
except = ["root"]
`

const ShownConf = `
[[polydir]]
path   = "/srv/secret"
method = "hidden"
except = ["root"]

[[polydir]]
path   = "/srv/secret.conf"
method = "hidden"
except = ["root"]

[[polydir]]
path          = "/srv/shown"
method        = "same"
mount_options = ["ro", "noexec"]
except        = ["root"]

[[polydir]]
path          = "/srv/shown.conf"
method        = "same"
mount_options = ["ro"]
except        = ["root"]

[[polydir]]
path   = "/srv/other"
method = "bind"
source = "/srv/of/$USER"
only   = ["alice", "bob"]

[[polydir]]
path   = "/srv/other.conf"
method = "bind"
source = "/srv/of/conf"
except = ["root"]
`

// MakeShown makes what the polydirs of ShownConf want.
func MakeShown(h *host.Host) {
	h.T.Helper()
	for _, dir := range []string{"secret", "shown", "other", "of", "of/alice", "of/bob"} {
		h.Mkdir("/srv/"+dir, 0o755, 0, 0)
	}
	h.MustRun("chmod", "1777", "/srv/shown")
	for name, text := range map[string]string{"secret/key": "k", "secret.conf": "s", "shown/file": "f", "shown.conf": "c",
		"other.conf": "public", "of/conf": "mine", "of/alice/a": "", "of/bob/b": ""} {
		h.WriteFile("/srv/"+name, text+"\n", 0o644)
	}
	h.MustRun("chmod", "666", "/srv/shown.conf", "/srv/shown/file")
	h.WriteFile("/srv/shown/program", "#!/bin/sh\necho ran\n", 0o755)
}
