package command

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What does not exist, or is no word of that kind, is told with its place and the way out,
// and nothing is done.
func TestWrongWords(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		h.MustRun("ln", "-s", "/dev/null", "/etc/security/polyinst/masked.conf")
		const (
			noInstance = ": is no instance of a polydir of the configuration; `polyinst list --instances` shows them"
			noSuch     = ": there is no such instance; `polyinst list --instances` shows them"
			nothing    = ": there is nothing behind it; polyinst "
			list       = "; `polyinst list` shows "
			inst       = "/var/lib/polyinst/tmp/"
			there      = "find /etc/pam.d /etc/security /var/lib/polyinst | sort; cat /etc/pam.d/su"
		)
		before := h.Sh(there)
		for command, want := range map[string]struct {
			code int
			says string
		}{
			"enter 9999999":                  {1, "there is no process 9999999" + list + "those of sessions"},
			"enter pid:9999999":              {1, "there is no process 9999999" + list + "those of sessions"},
			"enter pid:-1":                   {1, "there is no process -1" + list + "those of sessions"},
			"enter pid:0":                    {1, "there is no process 0" + list + "those of sessions"},
			"enter pid:99999999999999999999": {2, `"pid:99999999999999999999": behind pid: there is no number of a process`},
			"enter uid:4294967296":           {2, `"uid:4294967296": behind uid: there is no number of an account`},
			"enter uid:99999":                {1, `"uid:99999" has no live private namespace` + list + "who has"},
			"enter alice":                    {1, `"alice" has no live private namespace` + list + "who has"},
			"enter alcie":                    {1, `the account "alcie" does not exist, did you mean "alice"?`},
			"enter $'a\\nb'":                 {1, `the account "a\nb" does not exist`},
			"enter ''":                       {2, "an argument is empty: polyinst enter USER|PID [-- COMMAND...] [flags]"},
			"enter -5":                       {2, "unknown shorthand flag: '5' in -5; polyinst enter --help lists the flags"},
			"explain ''":                     {2, "an argument is empty: polyinst explain USER [flags]"},
			"explain 99999":                  {1, `the account "99999" does not exist`},
			"explain alice --service ''":     {2, "--service" + nothing + "explain --help lists the flags"},
			"explain alice --service ../x":   {2, `--service: "../x" is no name of a service`},
			"explain alice --from alice:":    {2, `--from: "" is no name of a service`},
			"explain alice --from alice:a/b": {2, `--from: "a/b" is no name of a service`},
			"explain alice --from ''":        {2, "--from" + nothing + "explain --help lists the flags"},
			"explain alice --conf ''":        {2, "--conf" + nothing + "explain --help lists the flags"},
			"explain alice --arg ''":         {2, "--arg" + nothing + "explain --help lists the flags"},
			"try alice --service $'a\\nb'":   {2, `--service: "a\nb" is no name of a service`},
			"prepare --conf ''":              {2, "--conf" + nothing + "prepare --help lists the flags"},
			"prepare --repair /":             {1, "/" + noInstance},
			"prepare --repair " + inst:       {1, "/var/lib/polyinst/tmp" + noInstance},
			"prepare --repair alice":         {1, "alice" + noInstance},
			"prepare --repair " + inst + "x": {1, inst + "x" + noSuch},
			"prepare --aside " + inst + "x/": {1, inst + "x" + noSuch},
			"check ''":                       {2, "an argument is empty: polyinst check [FILE] [flags]"},
			"edit ''":                        {2, "an argument is empty: polyinst edit [NAME.conf] [flags]"},
			"edit $'a\\nb.conf'":             {2, `"a\nb.conf" is no name of a drop-in: want NAME.conf, which lies in /etc/security/polyinst/namespace.d`},
			"help enter x":                   {2, "one command at most, not 2"},
			"convert /dev/zero":              {1, "/dev/zero: is larger than 1048576 bytes"},
			"convert - </dev/zero":           {1, "-: is larger than 1048576 bytes"},
			"enable sshd --within x":         {2, `invalid argument "x" for "--within" flag; polyinst enable --help lists the flags`},
			"enable su --user ''":            {2, "--user" + nothing + "enable --help lists the flags"},
			"enable ''":                      {2, "an argument is empty: polyinst enable SERVICE... [flags]"},
			"metrics --output /etc":          {1, "replace /etc: file exists"},
			"metrics --output /none/x":       {1, "replace /none/x: no such file or directory"},
			"report --require tmp":           {2, `--require: "tmp": want an absolute path`},
			"report --service $'a\\nb'":      {2, `--service: "a\nb" is no name of a service`},
			// nobody is told to close what everybody writes to
			"list --instances --conf /dev/null":                             {1, "/dev/null: is a device, not a regular file"},
			"list --instances --conf /etc/security/polyinst/masked.conf":    {1, "/dev/null: is a device, not a regular file"},
			"prepare --conf /etc/security/polyinst/masked.conf --quiet":     {1, "/dev/null: is a device, not a regular file"},
			"rename alice alice":                                            {1, `the account "alice" exists: its instances stay its own`},
			"rename ../x alice":                                             {1, `the configuration's parents have no instance with the name of "../x"`},
			"gc --older-than 99999999999d":                                  {2, `--older-than: "99999999999d" is no age: want a number and h, d or w, such as 90d`},
			"doctor alice --service ''":                                     {2, "--service" + nothing + "doctor --help lists the flags"},
			"doctor alice --service nosuch":                                 {2, `there is no PAM stack "nosuch" in /etc/pam.d`},
			"prepare --repair " + inst + "alice --from-uid 99999999999":     {2, `invalid argument "99999999999" for "--from-uid" flag; polyinst prepare --help lists the flags`},
			"list --instances --conf /etc/security/polyinst/namespace.conf": {0, ""},
		} {
			r := h.Command("timeout", "20", "bash", "-c", "polyinst "+command).Run()
			if want.says != "" {
				want.says = "polyinst: " + want.says
			}
			host.Equal(h, command+": exit status", r.Code, want.code)
			host.Equal(h, command, strings.TrimSuffix(r.Stderr, "\n"), want.says)
		}
		host.Equal(h, "what there is", h.Sh(there), before)
		r := h.Command("bash", "-c", "polyinst explain alice --conf $'/a\\nb\\e[31m'").Run()
		h.Match("what is no file", r.Stdout, `(?m)^REFUSED: open /a\\nb\\x1b\[31m: no such file or directory$`)
		host.Equal(h, "once", h.MustRun("polyinst", "enable", "su", "su"), "su has it already: /etc/pam.d/su:5:1")
	})
}
