package faults

import (
	"os"
	"strings"

	"pam_polyinst/tests/host"
)

// setup is one configuration of the sweep: everything that a login of its user
// needs. A new feature joins the sweep by an entry of this table.
type setup struct {
	name    string
	toml    string   // namespace.conf, below "timeout"
	pam     string   // arguments of the PAM line
	user    string   // alice, unless said otherwise
	asks    string   // PAM_RUSER: a user has started the host
	rescues bool     // the user is listed for rescue
	steps   []string // of the host, before it opens
	parents []string // instance parents
	covered []string // paths that the session must not share with the host
	again   bool     // the user has been here: each login finds what the first has left
	runtime bool     // Go's own threads too, which do the same in every setup
	inside  string   // the user in whose session the host stands
	beside  string   // the user who has a session elsewhere
	kept    string   // what may be missing from the polydirs where the log says that it is left out
	inPlace bool     // the host cannot join: a refusal may change the namespace's id
	prepare func(h *host.Host)
	clean   []string // what a first login leaves beside the instances
}

const (
	tmp    = host.Parents + "/tmp"
	varTmp = host.Parents + "/var-tmp"
	homes  = host.Parents + "/homes"
)

// methods are all methods that need no security module.
const methods = `
[[polydir]]
path            = "/tmp"
instance_prefix = "` + tmp + `/"
method          = "user"
except          = ["root"]

[[polydir]]
path            = "/var/tmp"
instance_prefix = "` + varTmp + `/"
method          = "tmpdir"
except          = ["root"]

[[polydir]]
path   = "/dev/shm"
method = "tmpfs"
tmpfs  = { size = "1M", mode = "1777" }
except = ["root"]
`

// private comes before it.
const private = "ipc = \"private\"\nuts = \"private\"\nnetwork = \"private\"\n"

// overlays are those whose changes are thrown away, keptOverlay is the other one.
const (
	overlays = `
[[polydir]]
path            = "/srv/lab"
method          = "overlay"
instance_prefix = "` + tmp + `/"
keep_changes    = false
except          = ["root"]

[[polydir]]
path         = "/srv/other"
method       = "overlay"
tmpfs        = { size = "1M" }
keep_changes = false
except       = ["root"]
`
	keptOverlay = `
[[polydir]]
path            = "/srv/kept"
method          = "overlay"
instance_prefix = "` + tmp + `/"
except          = ["root"]
`
)

var (
	overlayParents = []string{tmp}
	overlayPaths   = []string{"/srv/lab", "/srv/other"}
)

// layersPlace puts what an overlay is made of on filesystems that serve for it.
func layersPlace(h *host.Host) {
	for _, dir := range []string{host.Parents, "/srv"} {
		h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755", "layers", dir)
	}
	h.Prepare(tmp)
	for _, dir := range []string{"/srv/lab", "/srv/other", "/srv/kept"} {
		h.Mkdir(dir, 0o1777, 0, 0)
	}
}

var (
	methodParents = []string{tmp, varTmp}
	methodPaths   = []string{"/tmp", "/var/tmp", "/dev/shm"}
)

var setups = []setup{
	{name: "methods, first login", toml: methods, parents: methodParents, covered: methodPaths, runtime: true},
	{name: "methods, again", toml: methods, parents: methodParents, covered: methodPaths, again: true},
	{name: "create, skel", parents: []string{tmp, homes}, covered: []string{"/srv/made", "/home/alice/a"},
		clean: []string{"/srv/made", "/home/alice/a"},
		toml: `
[[polydir]]
path            = "/srv/made"
instance_prefix = "` + tmp + `/"
method          = "user"
skel            = true
create          = { mode = "1777", owner = "root" }

[[polydir]]
path            = "$HOME/a"
instance_prefix = "` + homes + `/"
method          = "user"
create          = { mode = "0700" }
`,
		prepare: func(h *host.Host) {
			h.Sh("rm -rf /etc/skel; mkdir -p /etc/skel/d; echo hello >/etc/skel/d/f; ln -s d/f /etc/skel/l")
		}},
	{name: "init", toml: strings.Replace(methods, `"user"`, "\"user\"\ninit = \"made\"", 1),
		parents: methodParents, covered: methodPaths, prepare: initScript},
	{name: "keep", toml: strings.Replace(methods, `"user"`, "\"user\"\nkeep = [\".X11-unix\"]", 1),
		parents: methodParents, covered: methodPaths, kept: ".X11-unix", prepare: func(h *host.Host) {
			h.Sh("mkdir -m 1777 /tmp/.X11-unix; touch /tmp/.X11-unix/X0")
		}},
	{name: "what is no instance", toml: shown, covered: []string{"/srv/secret", "/srv/secret.conf", "/srv/other", "/home"},
		kept: "alice", prepare: served},
	{name: "what is no instance, in place", toml: shown, covered: []string{"/srv/secret", "/srv/secret.conf", "/srv/other", "/home"},
		kept: "alice", prepare: served, inPlace: true, steps: []string{"dropcap:cap_sys_chroot"}},
	{name: "nested, by one's own /proc", toml: strings.Replace(methods, `"tmpdir"`, `"user"`, 1) + shown, parents: methodParents, covered: methodPaths, inside: "alice", user: "bob",
		kept: "bob", prepare: served},
	{name: "groups decide", toml: strings.NewReplacer(`["root"]`, `["@staff"]`).Replace(strings.Replace(methods, `except          = ["root"]`, `only = ["@students"]`, 1)),
		parents: methodParents, covered: methodPaths, prepare: func(h *host.Host) {
			h.AddGroup("students", "alice")
			h.Directory().Says("group staff 7000", "member bob 7000")
		}},
	{name: "rescue", toml: "rescue = [\"alice\"]\n" + methods, parents: methodParents, covered: methodPaths, rescues: true},
	{name: "nested, replace", toml: methods, parents: methodParents, covered: methodPaths, inside: "alice", user: "bob", asks: "alice"},
	{name: "nested, keep", toml: "nested = \"keep\"\n" + methods, parents: methodParents, covered: methodPaths, inside: "alice", user: "bob"},
	{name: "nested, back to the host", toml: strings.ReplaceAll(methods, `["root"]`, `["root", "carol"]`), parents: methodParents, inside: "alice", user: "carol", asks: "alice"},
	{name: "nested, root", toml: methods, parents: methodParents, inside: "alice", user: "root", asks: "alice"},
	{name: "scope = user, joined", toml: "scope = \"user\"\n" + strings.Replace(methods, `"tmpdir"`, `"user"`, 1),
		parents: methodParents, covered: methodPaths, beside: "alice", again: true},
	{name: "slave+shared", toml: "propagation = \"slave+shared\"\n" + methods, parents: methodParents, covered: methodPaths},
	{name: "overlay, first login", toml: overlays, parents: overlayParents, covered: overlayPaths, prepare: layersPlace},
	{name: "overlay, kept, again", toml: "scope = \"user\"\n" + keptOverlay, parents: []string{tmp}, covered: []string{"/srv/kept"}, prepare: layersPlace, again: true},
	{name: "overlay, in place", toml: overlays, parents: overlayParents, covered: overlayPaths, prepare: layersPlace, inPlace: true,
		steps: []string{"dropcap:cap_sys_chroot"}},
	{name: "unmount_on_close", toml: methods, pam: "unmount_on_close", parents: methodParents, covered: methodPaths},
	{name: "private ipc, uts, network", toml: private + methods, parents: methodParents, covered: methodPaths},
	{name: "netns", toml: "network = \"netns:net-$USER\"\n" + methods, parents: methodParents, covered: methodPaths, prepare: func(h *host.Host) {
		h.Need("ip")
		h.MustRun("ip", "netns", "add", "net-alice")
	}},
	{name: "private, in place", toml: private + methods, parents: methodParents, covered: methodPaths, inPlace: true,
		steps: []string{"dropcap:cap_sys_chroot"}},
	{name: "in place", toml: methods, parents: methodParents, covered: methodPaths, inPlace: true, runtime: true,
		steps: []string{"dropcap:cap_sys_chroot"}},
	{name: "in place, init", toml: strings.Replace(methods, `"user"`, "\"user\"\ninit = \"made\"", 1),
		parents: methodParents, covered: methodPaths, inPlace: true,
		steps: []string{"dropcap:cap_sys_chroot"}, prepare: initScript},
}

// shown are the methods that make no instance, and one's own home alone.
const shown = `
[[polydir]]
path   = "/proc"
method = "proc"
proc   = { gid = "watch" }
except = ["root"]

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
mount_options = ["ro"]
except        = ["root"]

[[polydir]]
path   = "/srv/other"
method = "bind"
source = "/srv/of"
except = ["root"]

[[polydir]]
path   = "/home"
method = "tmpfs"
keep   = ["$USER"]
except = ["root"]
`

func served(h *host.Host) {
	h.AddGroup("watch")
	h.Sh("mkdir /srv/secret /srv/shown /srv/other /srv/of; touch /srv/secret.conf")
}

func initScript(h *host.Host) {
	h.WriteFile("/etc/security/polyinst/namespace.d/made", "#!/bin/sh\necho made >\"$2/by-init\"\n", 0o755)
}

// install makes the host of a setup.
func (s *setup) install(h *host.Host) {
	if s.user == "" {
		s.user = "alice"
	}
	h.Install()
	h.Config("[namespace]\ntimeout = \"4s\"\n" + s.toml)
	h.Prepare(s.parents...)
	h.PAM("pamhost", host.Stack("session required pam_polyinst.so "+s.pam)...)
	h.PAM("outer", host.Stack("session required pam_polyinst.so")...)
	h.AddUser("alice")
	h.AddUser("bob")
	h.AddUser("carol")
	if s.prepare != nil {
		s.prepare(h)
	}
}

// anotherEmpty takes the place of the empty directory where that is another mount,
// as a lookup that fails with EXDEV says.
const anotherEmpty = "/run/polyinst/empty.1"

// fresh takes away what logins have left, so that the next one is a first one.
func (s *setup) fresh() error {
	_ = os.Remove(anotherEmpty)
	if s.again {
		return nil
	}
	for _, p := range s.clean {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	for _, p := range s.parents {
		names, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		for _, n := range names {
			path := p + "/" + n.Name()
			if s.inside != "" && (n.Name() == s.inside || strings.HasPrefix(n.Name(), ".tmpdir.") || n.Name() == ".lock") {
				continue // of the outer session
			}
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}
