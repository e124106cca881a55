package plan

import (
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

// No advice to change a directory that serves others: what it says is done.
func TestParentRepair(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"/var/lib/polyinst/tmp/", "chmod 0000 /var/lib/polyinst/tmp"},
		{"/var/lib/polyinst/tmp/x-", "chmod 0000 /var/lib/polyinst/tmp"},
		{"/data/instances/", "chmod 0000 /data/instances, if nothing but instances is in it, else use a place below /var/lib/polyinst"},
		{"/var/lib/polyinst/tmp", `without a "/" at the end of instance_prefix, "tmp" only begins the names of instances in "/var/lib/polyinst": did you mean "/var/lib/polyinst/tmp/"?`},
		{"/data/instances/tmp1", `without a "/" at the end of instance_prefix, "tmp1" only begins the names of instances in "/data/instances": did you mean "/data/instances/tmp1/"?`},
		{"/var/lib/polyinst/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/var/lib/polyinst/x-", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/srv/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/var/tmp/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/etc/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/usr/share/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/proc/sys/net/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/home/bob/inst/", "chmod 0000 /home/bob/inst, if nothing but instances is in it, else use a place below /var/lib/polyinst"},
		{"/usr/lib/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/home/bob/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/people/a/alice/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/people/a/", "it serves others, too: use a place below /var/lib/polyinst"},
		{"/people/a/alice/inst/", "chmod 0000 /people/a/alice/inst, if nothing but instances is in it, else use a place below /var/lib/polyinst"},
	} {
		p := &config.Polydir{Prefix: config.Template(c.prefix)}
		if got := ParentRepair(p, string(p.Prefix.Parent()), "/people/a/alice", false, false, "chmod 0000"); got != c.want {
			t.Errorf("%s: %s", c.prefix, got)
		}
	}
	of := &config.Polydir{Prefix: "/var/lib/polyinst/tmp/$USER/"}
	if got := ParentRepair(of, "/var/lib/polyinst/tmp/alice", "/home/alice", false, true, "chmod 0000"); strings.Contains(got, "chmod") {
		t.Errorf("an instance: %s", got)
	}
}

// Where somebody else can rename what is on the way, no command goes by name.
func TestParentRepairInAHome(t *testing.T) {
	for prefix, want := range map[string]string{
		"/people/a/alice/inst/": "look at it and move it away",
		"/people/a/alice/":      "it serves others, too: use a place below /var/lib/polyinst",
	} {
		p := &config.Polydir{Prefix: config.Template(prefix)}
		if got := ParentRepair(p, string(p.Prefix.Parent()), "/people/a/alice", true, false, "chmod 0000"); got != want {
			t.Errorf("%s: %s", prefix, got)
		}
	}
}

func TestSlashMissing(t *testing.T) {
	for prefix, want := range map[string]bool{
		"/inst/tmp": true, "/inst/TMP": true, "/inst/tmp2": true,
		"/inst/a": true, "/inst/z": true, "/inst/A": true, "/inst/Z": true, "/inst/0": true, "/inst/9": true,
		"/inst/tmp/": false, "/inst/tmp-": false, "/inst/tmp_": false, "/inst/tmp.": false, "/inst/$USER": false, "": false,
	} {
		if got := SlashMissing(&config.Polydir{Prefix: config.Template(prefix)}); (got != "") != want {
			t.Errorf("%q: %q", prefix, got)
		}
	}
}

func TestNameTwice(t *testing.T) {
	for prefix, want := range map[string]string{
		"/inst/": "", "/inst/$USER/": "", "/inst/x-": "", "$HOME/inst/": "",
		"/inst/$USER":  `instance_prefix: the user is added behind "$USER" in any case: did you mean "/inst/"?`,
		"/inst/x$UID-": `instance_prefix: the user is added behind "x$UID-" in any case: did you mean "/inst/"?`,
	} {
		if got := NameTwice(&config.Polydir{Prefix: config.Template(prefix), Method: config.MethodUser}); got != want {
			t.Errorf("%q: %q", prefix, got)
		}
		if got := NameTwice(&config.Polydir{Prefix: config.Template(prefix), Method: config.MethodTmpdir}); got != "" {
			t.Errorf("tmpdir, %q: %q", prefix, got)
		}
	}
}

// Whoever has the place that is proposed is told to mend that one.
func TestBetterParent(t *testing.T) {
	for dir, elsewhere := range map[string]bool{
		"/": false, "/var": false, "/var/lib": false, "/var/lib/polyinst": false, "/var/lib/polyinst/tmp": false,
		"/var/tmp": true, "/var/li": true, "/home/alice": true, "/var/lib/polyinst2": true,
	} {
		if got := BetterParent(dir) == "use a place below /var/lib/polyinst"; got != elsewhere {
			t.Errorf("%s: %s", dir, BetterParent(dir))
		}
	}
}
