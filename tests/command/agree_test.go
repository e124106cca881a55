package command

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What the tools say is what the login does: for each machine that is not in
// order, explain, try and check refuse where su does, with the same words, and
// none of them where it opens.
func TestToolsAgreeWithTheLogin(t *testing.T) {
	const (
		withInit = `init = "/etc/polyinst.init"` + "\n"
		script   = `printf '#!/bin/sh\n' >/etc/polyinst.init; chmod 0755 /etc/polyinst.init; `
		parentOn = "mount -t tmpfs -o mode=0000,"
		made     = "mkdir -p -m 0700 /var/lib/polyinst/tmp/.lock; mkdir -m 1777 /var/lib/polyinst/tmp/alice; mkdir -m 0700 /var/lib/polyinst/tmp/.lock/alice; chown alice /var/lib/polyinst/tmp/.lock/alice; "
	)
	const turn = "mkdir -p -m 0700 /run/polyinst; uid=$(id -u alice); "
	for name, c := range map[string]struct {
		more    string // of the table, and of what follows it
		setup   string
		refused string // why; empty: it opens
	}{
		"in order":                   {"", "", ""},
		"in order, with all":         {withInit + "skel = true\n", script, ""},
		"in order, with instance":    {"", made, ""},
		"init missing":               {withInit, "", `init script "/etc/polyinst.init": does not exist`},
		"init not executable":        {withInit, script + "chmod 0644 /etc/polyinst.init", "mode 0644: not executable"},
		"init a user's":              {withInit, script + "chown alice /etc/polyinst.init", "owned by uid"},
		"init without interpreter":   {withInit, "printf '#!/bin/nosuchshell\\n' >/etc/polyinst.init; chmod 0755 /etc/polyinst.init", "its interpreter does not exist"},
		"FIFO in skel":               {"skel = true\n", "mkfifo /etc/skel/pipe", "is a FIFO"},
		"skel too deep":              {"skel = true\n", "mkdir -p /etc/skel/$(seq -s/ 1 120)", "deeper than 100 directories"},
		"skel a user's":              {"skel = true\n", "chown alice /etc/skel", "owned by uid"},
		"parent missing":             {"", "rmdir /var/lib/polyinst/tmp", "does not exist: `polyinst prepare` makes it"},
		"parent a file":              {"", "rmdir /var/lib/polyinst/tmp; touch /var/lib/polyinst/tmp", "is a regular file, not a directory"},
		"parent of another mode":     {"", "chmod 0755 /var/lib/polyinst/tmp", "mode 0755, want 0000"},
		"parent of another owner":    {"", "chown alice /var/lib/polyinst/tmp", "owned by uid"},
		"parent read-only":           {"", parentOn + "ro tmpfs /var/lib/polyinst/tmp", "lies on a read-only filesystem"},
		"parent full":                {"", parentOn + "size=64k tmpfs /var/lib/polyinst/tmp; dd if=/dev/zero of=/var/lib/polyinst/tmp/.fill bs=4k count=99 2>/dev/null || :", ""},
		"parent full, and skel":      {"skel = true\n", parentOn + "size=64k tmpfs /var/lib/polyinst/tmp; dd if=/dev/zero of=/var/lib/polyinst/tmp/.fill bs=4k count=99 2>/dev/null || :", "lies on a filesystem that is full"},
		"parent without inodes":      {"", parentOn + "nr_inodes=4 tmpfs /var/lib/polyinst/tmp; touch /var/lib/polyinst/tmp/.1 /var/lib/polyinst/tmp/.2 /var/lib/polyinst/tmp/.3", "lies on a filesystem without a free inode"},
		"parent immutable":           {"", "chattr +i /var/lib/polyinst/tmp", "is immutable: chattr -ia /var/lib/polyinst/tmp"},
		"way to the parent a user's": {"", "chown alice /var/lib/polyinst", "users can create names"},
		"locks a file":               {"", "touch /var/lib/polyinst/tmp/.lock", "its lock"},
		"locks open to all":          {"", "mkdir -m 0777 /var/lib/polyinst/tmp/.lock; chmod 0777 /var/lib/polyinst/tmp/.lock", "its lock"},
		"lock a file":                {"", "mkdir -m 0700 /var/lib/polyinst/tmp/.lock; touch /var/lib/polyinst/tmp/.lock/alice", "is a regular file, not a directory"},
		"instance of another user":   {"", made + "chown nobody /var/lib/polyinst/tmp/alice", "owned by uid 65534, want 0 like the polydir"},
		"instance for another uid":   {"", made + "chown nobody /var/lib/polyinst/tmp/.lock/alice", "was made for uid 65534"},
		"instance without sticky":    {"", made + "chmod 0777 /var/lib/polyinst/tmp/alice", "writable by everybody without the sticky bit"},
		"instance a link":            {"", "ln -s /srv /var/lib/polyinst/tmp/alice", "is a symbolic link, not a directory"},
		"a mount on the instance":    {"", made + "mount -t tmpfs tmpfs /var/lib/polyinst/tmp/alice", "another filesystem is mounted there"},
		"polydir missing":            {"", "rmdir /tmp", "does not exist: make it"},
		"polydir without sticky":     {"", "chmod 0777 /tmp", "writable by everybody without the sticky bit"},
		"records a file":             {"", "rm -rf /run/polyinst; touch /run/polyinst", "the records of sessions: /run/polyinst is a regular file, not a directory"},
		"records open to all":        {"", "mkdir -p /run/polyinst; chmod 0777 /run/polyinst", "the records of sessions: /run/polyinst: mode 0777"},
		"records a user's":           {"", "mkdir -p /run/polyinst; chown alice /run/polyinst", "the records of sessions: /run/polyinst: owned by uid"},
		"records read-only":          {"", "mkdir -p /run/polyinst; mount -t tmpfs -o ro,mode=0700 tmpfs /run/polyinst", "the records of sessions: /run/polyinst: lies on a read-only filesystem"},
		"run read-only":              {"", "rmdir /run/polyinst 2>/dev/null || :; mount -t tmpfs -o ro,mode=0755 tmpfs /run", "the records of sessions: /run: lies on a read-only filesystem"},
		"turn in order":              {"[namespace]\nscope = \"user\"\n", turn + "mkdir -m 0700 /run/polyinst/user.$uid", ""},
		"turn open to all":           {"[namespace]\nscope = \"user\"\n", turn + "mkdir /run/polyinst/user.$uid; chmod 0777 /run/polyinst/user.$uid", "the records of sessions: /run/polyinst/user.2001: mode 0777"},
		"turn a file":                {"[namespace]\nscope = \"user\"\n", turn + "touch /run/polyinst/user.$uid", "the records of sessions: /run/polyinst/user.2001 is a regular file, not a directory"},
		"records full":               {"", "mkdir -p /run/polyinst; mount -t tmpfs -o mode=0700,size=64k tmpfs /run/polyinst; dd if=/dev/zero of=/run/polyinst/fill bs=4k count=99 2>/dev/null || :", "the records of sessions: /run/polyinst: lies on a filesystem that is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp+c.more, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Sh(c.setup)
				explained := h.Cmd("polyinst", "explain", "alice", "--service", "su")
				checked := h.Cmd("polyinst", "check")
				tried := h.Cmd("polyinst", "try", "alice", "--", "true")
				r := h.Su("alice", "true")
				want := c.refused != ""
				host.Equal(h, "su refuses", r.Code != 0, want)
				host.Equal(h, "try refuses", tried.Code != 0, want)
				host.Equal(h, "explain refuses", explained.Code != 0, want)
				host.Equal(h, "check finds it", checked.Code != 0, want)
				if want {
					log := ""
					for _, l := range h.ModuleLog() {
						log += l.String() + "\n"
					}
					host.Equal(h, "the log says why", strings.Contains(log, c.refused), true)
					host.Equal(h, "explain says why", strings.Contains(explained.Stdout, c.refused), true)
					host.Equal(h, "check says why", strings.Contains(checked.Stderr, c.refused), true)
				}
			})
		})
	}
}

// What explain says of a session, before it, is what the module then does: which
// way, with which instances, or why not.
func TestExplainAgrees(t *testing.T) {
	const (
		link    = "mkdir -m 1777 /srv/real /srv/tmp; ln -s /srv/real /srv/link; "
		parents = "mkdir -p -m 0000 /var/lib/polyinst/x /var/lib/polyinst/y; chmod 0000 /var/lib/polyinst/x /var/lib/polyinst/y; "
		x       = "[[polydir]]\nmethod = \"user\"\ninstance_prefix = \"/var/lib/polyinst/x/\"\n"
		y       = "[[polydir]]\nmethod = \"user\"\ninstance_prefix = \"/var/lib/polyinst/y/\"\n"
		home    = "[[polydir]]\nmethod = \"user\"\npath = \"$HOME/x\"\ninstance_prefix = \"$HOME/.x/\"\nparent_in_unsafe_dir = true\n"
		namespc = "[namespace]\n"
		accept  = "polyinst check --accept; "
		spoil   = "echo 'broken = ' >>/etc/security/polyinst/namespace.conf; "
		held    = "mkdir -p -m 0700 /var/lib/polyinst/tmp/.lock; mkdir -m 0300 /var/lib/polyinst/tmp/.lock/alice; mkdir -m 0700 /var/lib/polyinst/tmp/alice; "
	)
	const (
		covered   = x + "path = \"/srv/scripts\"\n"
		inScripts = kit.OwnTmp + "init = \"/srv/scripts/tmp.init\"\n"
		scripts   = "mkdir -m 755 /srv/scripts; printf '#!/bin/sh\\n' >/srv/scripts/tmp.init; chmod 0755 /srv/scripts/tmp.init; "
	)
	table := func(path string) string { return "path = \"" + path + "\"\n" }
	for name, c := range map[string]struct {
		config, setup, args string
	}{
		"own /tmp":                      {kit.OwnTmp, "", ""},
		"own /tmp, debug":               {kit.OwnTmp, "", "debug"},
		"everybody":                     {strings.Replace(kit.OwnTmp, `["root"]`, `[]`, 1), "", ""},
		"only a group":                  {x + table("/tmp") + `only = ["@staff"]` + "\n", parents, ""},
		"only a group that is gone":     {x + table("/tmp") + `only = ["@studnets"]` + "\n", parents, ""},
		"except a group":                {x + table("/tmp") + `except = ["@staff"]` + "\n", parents, ""},
		"two tables":                    {x + table("/tmp") + `only = ["@staff"]` + "\n" + y + table("/tmp") + `except = ["@staff"]` + "\n", parents, ""},
		"two tables that meet":          {x + table("/tmp") + `only = ["@staff"]` + "\n" + y + table("/tmp"), parents, ""},
		"another service":               {kit.OwnTmp + `services = ["sshd"]` + "\n", "", ""},
		"this service":                  {kit.OwnTmp + `services = ["su"]` + "\n", "", ""},
		"scope user":                    {namespc + "scope = \"user\"\n" + kit.OwnTmp, "", ""},
		"ipc":                           {namespc + "ipc = \"private\"\n" + kit.OwnTmp, "", ""},
		"nested keep":                   {namespc + "nested = \"keep\"\n" + kit.OwnTmp, "", ""},
		"nested escape":                 {namespc + "nested = \"escape\"\n" + kit.OwnTmp, "", ""},
		"nested escape and require":     {namespc + "nested = \"escape\"\n" + kit.OwnTmp, "", "require=/tmp"},
		"nested for su alone":           {namespc + "nested = { default = \"replace\", su = \"keep\" }\n" + kit.OwnTmp, "", ""},
		"nested keep of everybody":      {namespc + "nested = \"keep\"\n" + strings.Replace(kit.OwnTmp, `["root"]`, `[]`, 1), "", ""},
		"unmnt_only":                    {kit.OwnTmp, "", "unmnt_only"},
		"tmpfs":                         {kit.TmpfsShm, "", ""},
		"tmpdir":                        {kit.TmpdirVarTmp, "", ""},
		"all methods":                   {kit.OwnTmp + kit.TmpfsShm + kit.TmpdirVarTmp, "", ""},
		"gen_hash":                      {kit.OwnTmp, "", "gen_hash"},
		"keep":                          {kit.OwnTmp + `keep = [".X11-unix"]` + "\n", "mkdir -m 1777 /tmp/.X11-unix; ", ""},
		"create":                        {x + table("/srv/new") + "create = { mode = \"1777\" }\n", parents, ""},
		"create, and its own home":      {home + "create = { mode = \"0700\" }\n", "", ""},
		"home without the polydir":      {home, "", ""},
		"home's polydir a file":         {home, "touch /home/alice/x; chown alice /home/alice/x", ""},
		"home's parent another's":       {home + "create = { mode = \"0700\" }\n", "mkdir /home/alice/.x; chown bob /home/alice/.x", ""},
		"a link to the same":            {x + table("/srv/real") + y + table("/srv/link"), parents + link, ""},
		"a link":                        {x + table("/srv/link"), parents + link, ""},
		"a link into another's":         {x + table("/tmp") + y + table("/srv/in"), parents + "mkdir -m 1777 /tmp/t; ln -s /tmp/t /srv/in", ""},
		"a bind mount of the same":      {x + table("/tmp") + y + table("/var/tmp"), parents + "mount --bind /tmp /var/tmp", ""},
		"a polydir in a polydir":        {x + table("/srv/real") + y + table("/srv/real/in"), parents + link + "mkdir -m 1777 /srv/real/in", ""},
		"unfinished instance":           {kit.OwnTmp, held, ""},
		"unfinished, and another's":     {kit.OwnTmp, held + "chown bob /var/lib/polyinst/tmp/.lock/alice", ""},
		"changed uid":                   {kit.OwnTmp, "su alice -c true; usermod -u 3456 alice; ", ""},
		"instance of mode 0400":         {kit.OwnTmp, "su alice -c true; chmod 0400 /var/lib/polyinst/tmp/alice", ""},
		"require":                       {kit.OwnTmp, "", "require=/tmp"},
		"require what is not there":     {kit.OwnTmp, "", "require=/tmp,/dev/shm"},
		"unknown argument":              {kit.OwnTmp, "", "nonsense"},
		"conf of no file":               {kit.OwnTmp, "", "conf=/etc/nothing.conf"},
		"broken":                        {kit.OwnTmp, spoil, ""},
		"broken, rescue on the line":    {kit.OwnTmp, spoil, "rescue=@staff"},
		"broken, rescue in the file":    {namespc + "rescue = [\"@staff\"]\n" + kit.OwnTmp, spoil, ""},
		"broken, last good":             {kit.OwnTmp, accept + spoil, "config_error=last-good"},
		"broken, no last good":          {kit.OwnTmp, spoil, "config_error=last-good"},
		"broken, last good's rescue":    {namespc + "rescue = [\"@staff\"]\n" + kit.OwnTmp, accept + "echo '[namespace' >/etc/security/polyinst/namespace.conf", ""},
		"a user's file":                 {kit.OwnTmp, "chown alice /etc/security/polyinst/namespace.conf", ""},
		"empty":                         {"", "", ""},
		"no polydirs":                   {namespc + "polydirs = \"none\"\n", "", ""},
		"no file":                       {kit.OwnTmp, "rm /etc/security/polyinst/namespace.conf", ""},
		"machine at fault, rescue":      {namespc + "rescue = [\"@staff\", \"root\"]\n" + strings.Replace(kit.OwnTmp, `["root"]`, `[]`, 1), "rmdir /var/lib/polyinst/tmp", ""},
		"machine at fault, and require": {namespc + "rescue = [\"@staff\", \"root\"]\n" + strings.Replace(kit.OwnTmp, `["root"]`, `[]`, 1), "rmdir /var/lib/polyinst/tmp", "require=/tmp"},
		"parent full, and skel, rescue": {namespc + "rescue = [\"@staff\", \"root\"]\n" + strings.Replace(kit.OwnTmp, `["root"]`, `[]`, 1) + "skel = true\n", "mount -t tmpfs -o mode=0000,size=64k tmpfs /var/lib/polyinst/tmp; dd if=/dev/zero of=/var/lib/polyinst/tmp/.fill bs=4k count=99 2>/dev/null || :", ""},
		"init in a covered directory":   {covered + "except = [\"root\"]\n" + inScripts, parents + scripts, ""},
		"init covered by a user's":      {covered + "except = [\"root\"]\n" + inScripts, parents + scripts + "install -d -m 755 /var/lib/polyinst/x/alice; cp -p /srv/scripts/tmp.init /var/lib/polyinst/x/alice; chown alice /var/lib/polyinst/x/alice/tmp.init", ""},
		"init covered by root's":        {covered + "except = [\"root\"]\n" + inScripts, parents + scripts + "install -d -m 755 /var/lib/polyinst/x/alice; cp -p /srv/scripts/tmp.init /var/lib/polyinst/x/alice", ""},
		"init's interpreter covered":    {covered + "except = [\"root\"]\n" + kit.OwnTmp + "init = \"/srv/tmp.init\"\n", parents + scripts + "cp -p /bin/sh /srv/scripts/sh; printf '#!/srv/scripts/sh\\n' >/srv/tmp.init; chmod 0755 /srv/tmp.init", ""},
		"require_selinux":               {kit.OwnTmp, "", "require_selinux"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, c.config, nil, func(h *host.Host) {
				h.AddGroup("staff")
				h.AddUser("alice")
				h.AddUser("bob", host.User{Groups: []string{"staff"}})
				h.Sh("sed -i 1i'auth sufficient pam_permit.so' /etc/pam.d/su || :; chmod u+s /usr/bin/su")
				h.PAM("su", append([]string{"auth sufficient pam_permit.so"}, host.Stack(kit.Session+" "+c.args)...)...)
				h.PAM("runuser", host.Stack(kit.Session)...)
				h.Sh(c.setup)
				for _, user := range []string{"alice", "bob", "root", "alice"} { // alice once more, with what is made by then
					h.Agrees(user, "su", func() { h.Cmd("su", user, "-c", "true") })
				}
				for _, user := range []string{"alice", "bob", "root"} {
					h.Agrees(user, "su", func() { h.Cmd("runuser", "-u", "alice", "--", "su", user, "-c", "true") }, "--from", "alice:runuser")
				}
			})
		})
	}
}
