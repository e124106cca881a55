package convert

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine is the one that the golden files were made on.
var machine = Facts{
	InitScript: "/etc/security/namespace.init",
	Account: func(name string) (Account, Answer) {
		a, ok := map[string]Account{
			"root": {Name: "root"},
			"ROOT": {Name: "root"},
			"adm":  {Name: "adm", UID: 3},
			"bob":  {Name: "bob", UID: 1002},
			"dup":  {Name: "dup", UID: 7, Aliases: []string{"7up", "8"}},
		}[name]
		if !ok {
			return a, Absent
		}
		return a, Present
	},
	Group: func(name string) Answer {
		if name == "staff" {
			return Present
		}
		return Absent
	},
	Script: func(path string) Script {
		switch path {
		case "/gone":
			return ScriptAbsent
		case "/noexec":
			return ScriptNotExecutable
		}
		return ScriptRuns
	},
	Owner: func(dir string) string {
		switch dir {
		case "/dev/shm":
			return "root:root"
		case "/k":
			return "bob:staff"
		}
		return ""
	},
	Exposed: func(dir string) string {
		if inside(dir, "/d inst") {
			return "/d inst has mode 0777"
		}
		return ""
	},
}

func source(t testing.TB, path string) config.Source {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return config.Source{Name: filepath.Base(path), Data: data}
}

func (r Result) remarkLines() string {
	var b strings.Builder
	for _, m := range r.Remarks {
		b.WriteString(m.String() + "\n")
	}
	return b.String()
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew), found:\n%s", path, got)
	}
}

func goldenResult(t *testing.T, base string, r Result) {
	t.Helper()
	golden(t, base+".text", r.Text)
	golden(t, base+".remarks", r.remarkLines())
}

// promise is what Config promises: a text without refusals loads, one with a
// refusal does not.
func promise(t *testing.T, r Result) {
	t.Helper()
	_, problems := config.Parse(config.Source{Name: "converted", Data: []byte(r.Text)}, nil)
	if r.Refused() != (len(problems) > 0) {
		t.Errorf("refused %v, but config.Parse says %v of\n%s", r.Refused(), problems, r.Text)
	}
}

func TestGoldenConfigs(t *testing.T) {
	for name, refused := range map[string]bool{"example": false, "traps": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			r := Config([]config.Source{source(t, "testdata/"+name+".conf")}, machine)
			goldenResult(t, "testdata/"+name, r)
			promise(t, r)
			if r.Refused() != refused {
				t.Errorf("refused %v", r.Refused())
			}
		})
	}
}

func TestGoldenPAM(t *testing.T) {
	src := source(t, "testdata/su.pam")
	goldenResult(t, "testdata/su", PAM(src))
	goldenResult(t, "testdata/su-lines", PAMLines(src))
}

// Every line of refused.conf is refused, each with one reason at least.
func TestEachIsRefused(t *testing.T) {
	src := source(t, "testdata/refused.conf")
	for i, line := range strings.Split(string(src.Data), "\n") {
		// /p and /q are there twice, and refused for that
		fine := strings.Trim(line, space) == "" || strings.HasPrefix(line, "/p") || strings.HasPrefix(line, "/q")
		r := Config([]config.Source{{Name: "one", Data: []byte(line)}}, machine)
		if r.Refused() == fine {
			t.Errorf("line %d %q: refused %v", i+1, line, r.Refused())
		}
	}
}

func TestStrtoul(t *testing.T) {
	for text, want := range map[string]uint64{
		"1777": 1777, "01777": 0o1777, "0x3ff": 0x3ff, "0X3FFg": 0x3ff, "0x": 0, "0xg": 0, "": 0, "x": 0,
		"08": 0, "0755abc": 0o755, " \t+7": 7, "-1": 1<<64 - 1, "--1": 0,
		"18446744073709551615": 1<<64 - 1, "18446744073709551616": 1<<64 - 1, "-18446744073709551616": 1<<64 - 1,
	} {
		if got, fine := strtoul(text); got != want || !fine {
			t.Errorf("%q: %d %v, want %d", text, got, fine, want)
		}
	}
	if _, fine := strtoul("0b11"); fine {
		t.Error("0b11 depends on the C library")
	}
}

func TestCreateModes(t *testing.T) {
	for text, want := range map[string]string{
		"": "0755", "1777": "3361", "01777": "1777", "0700": "0700", "755": "1363", "x": "0000", "0": "0000",
		"-1": "0755", "4294967295": "0755", "99999999999999999999": "0755", "0x1ff": "0777", "0107777": "7777",
	} {
		r := Config([]config.Source{{Name: "c", Data: []byte("/a /b/ user:create=" + text)}}, Facts{})
		if !strings.Contains(r.Text, fmt.Sprintf("create          = { mode = %q }", want)) {
			t.Errorf("%q: want %s in\n%s", text, want, r.Text)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		`a  b	c`:      {"a", "b", "c"},
		`"a b"c d`:    {"a bc", "d"},
		`a\ b \"c\"`:  {"a b", `"c"`},
		`"a\" b`:      {`a\`, "b"},
		`a\`:          {`a\`},
		`\n\t\b\x`:    {"\n\t\bx"},
		`"" x`:        {"", "x"},
		`a"" ""b`:     {"a", "b"},
		"a\vb\fc\rd ": {"a", "b", "c", "d"},
		`"open b`:     {"open b"},
	} {
		if got, _ := split(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]string{
		"size=1G": `size = "1G"`, "size=1024k": `size = "1M"`, "size=010M": `size = "8M"`, "size=0x10m": `size = "16M"`,
		"size=50%": `size = "50%"`, "size=1000": `size = "1000"`, "nr_inodes=10k": "inodes = 10240", "mode=0700": `mode = "0700"`,
		"size=1G,size=2G": `size = "2G"`, "noswap": "noswap = true", "rw,inode64": `{ mode = "1777" }`,
	} {
		r := Config([]config.Source{{Name: "c", Data: []byte("/a x tmpfs:mntopts=" + text)}}, Facts{})
		if r.Refused() || !strings.Contains(r.Text, want) {
			t.Errorf("%s: want %s in\n%s%s", text, want, r.Text, r.remarkLines())
		}
	}
}

func TestLooksLikePAM(t *testing.T) {
	for text, want := range map[string]bool{
		"# c\n\nsession required pam_x.so": true, "-SESSION optional x": true, "su auth required x": true,
		"@include common-auth": true, "/tmp /tmp-inst/ user": false, "$HOME session user": false, "": false,
		"/tmp session user": false, "nonsense": false,
	} {
		if got := LooksLikePAM([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// The words that are left in a converted line are those that our module reads.
func TestConvertedArgumentsAreOurs(t *testing.T) {
	words := []string{"debug", "unmnt_remnt", "unmnt_only", "require_selinux", "gen_hash", "ignore_config_error",
		"ignore_instance_parent_mode", "unmount_on_close", "use_current_context", "use_default_context", "mount_private"}
	for i := range 1 << len(words) {
		var args []string
		for j, w := range words {
			if i>>j&1 == 1 {
				args = append(args, w)
			}
		}
		r := PAM(config.Source{Name: "x", Data: []byte("session required pam_namespace.so " + strings.Join(args, " "))})
		left := strings.Fields(r.Text)
		if _, err := config.ParseArgs(left[3:]); err != nil || left[2] != ourModule || r.Refused() {
			t.Fatalf("%v: %v: %s", args, err, r.Text)
		}
	}
}

// A PAM file without pam_namespace stays as it is, byte for byte.
func TestOtherLinesStay(t *testing.T) {
	text := "auth required pam_unix.so\n\n  # pam_namespace.so\\\nsession\trequired\\\n pam_limits.so pam_namespace.so\nsession include pam_namespace.so\nx"
	if r := PAM(config.Source{Name: "x", Data: []byte(text)}); r.Text != text || len(r.Remarks) > 0 {
		t.Errorf("%q\n%s", r.Text, r.remarkLines())
	}
}

// A backslash at the end of a comment joins nothing to it.
func TestCommentsEndWithTheirLine(t *testing.T) {
	r := PAM(config.Source{Name: "x", Data: []byte("# a \\\nsession required pam_namespace.so # b \\\nsession required pam_namespace.so\n")})
	if want := "# a \\\nsession required pam_polyinst.so # b \\\nsession required pam_polyinst.so\n"; r.Text != want {
		t.Errorf("%q", r.Text)
	}
}

func TestDropinsFollow(t *testing.T) {
	r := Config([]config.Source{
		{Name: "main", Data: []byte("/a /b/ user root\n\n\n/z /z-inst/ user @x")},
		{Name: "d", Data: []byte("\n/a /c/ user root")},
	}, Facts{})
	if len(r.Remarks) != 3 || r.Remarks[1].Line != 4 || r.Remarks[2].String() != "d:2: refused: main:1 has this polydir already, for some of the same users: pam_namespace mounts both, one on top of the other; keep the one that is meant (pam_namespace's sessions see this later one)" {
		t.Error(r.remarkLines())
	}
}

// Parents below one directory: each polydir's is its own, names and commands are
// words of the shell, and what is shared among users stays each user's.
func TestParents(t *testing.T) {
	facts := machine
	facts.Parents = "/var/lib/polyinst"
	for line, want := range map[string][]string{
		"/tmp /tmp/inst/ user":                                    {`"/var/lib/polyinst/tmp/"`, ` /tmp/inst && [ "$(pwd -P)" = /tmp/inst ]`, "mv -n -t /var/lib/polyinst/tmp -- *)"},
		"/var/tmp /p/x- user\n/var-tmp /q/ user":                  {`"/var/lib/polyinst/var-tmp/x-"`, `"/var/lib/polyinst/var-tmp-2/"`, "mv -n -t /var/lib/polyinst/var-tmp -- x-*)"},
		"$HOME $HOME/$USER.inst/ user":                            {`"/var/lib/polyinst/home/"`, `(cd -P "$h"/"$u".inst 2>/dev/null && [ "$(pwd -P)" = "$h"/"$u".inst ]`, "; done"},
		"$HOME/.cache $HOME/.inst/ context:shared":                {`"/var/lib/polyinst/home-.cache/$USER/"`, `-t /var/lib/polyinst/home-.cache/"$u" -- *`},
		"/tmp \"/p q'$/\" user":                                   {`cd -P '/p q'\''$' &&`},
		"/tmp /var/lib/polyinst/tmp/ user":                        {`"/var/lib/polyinst/tmp/"`},
		"/ä/.x /inst/ tmpdir":                                     {`"/var/lib/polyinst/ä-.x/"`},
		"/dev/shm none tmpfs\n/.dev/shm /.i/ user\n/tmp /i/ user": {`"/var/lib/polyinst/dir.dev-shm/"`},
	} {
		r := Config([]config.Source{{Name: "f", Data: []byte(line)}}, facts)
		promise(t, r)
		all := r.Text + r.remarkLines()
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%q: no %s in\n%s", line, w, all)
			}
		}
		if strings.Contains(r.Text, "parent_in_unsafe_dir") {
			t.Errorf("%q: an unsafe parent:\n%s", line, r.Text)
		}
		if moves := strings.Contains(all, "mv -n"); moves == (strings.Contains(line, "tmpdir") || strings.Contains(line, "/var/lib")) {
			t.Errorf("%q: a command to move instances: %v", line, moves)
		}
	}
}
