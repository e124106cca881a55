package convert

import (
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pam_polyinst/internal/core/config"
)

// pieces are what generated lines are made of, fair and foul.
var pieces = struct{ paths, prefixes, methods, flags, users []string }{
	[]string{"/tmp", "/var/tmp/", "$HOME", "/srv/$USER", "/a//b/./c", "/x..y", "/etc", `"/with space"`, `/back\slash`, "/$UID", "$USERS", "/", "rel"},
	[]string{"/tmp-inst/", "/p/x-", "$HOME/$USER.inst/", "/var/tmp/inst/", "/p", "none", "/p/.", "/p/.new.", "//p//", "/$HOMEX/", `"/p q/"`},
	[]string{"user", "level", "context", "tmpdir", "tmpfs", "Tmpfs", ":user", "usr"},
	[]string{"create", "create=0700", "create=1777,root", "create=0b1", "noinit", "noinit2", "shared", "iscript=x", "iscript=/gone", "iscript",
		"mntopts=size=1G,nosuid", "mntopts=size=0", "mntopts", "mntopts=mode=1777,noexec,nr_inodes=1k", "bogus"},
	[]string{"root", "~bob", "root,adm", "~", "~root,,x", "@wheel", "1001", "dup", "~dup", "ROOT,root", "root, adm", `"a b"`},
}

func pick(r *rand.Rand, list []string) string { return list[r.Intn(len(list))] }

func generated(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.Intn(4) {
		b.WriteString(pick(r, pieces.paths) + " " + pick(r, pieces.prefixes) + "\t" + pick(r, pieces.methods))
		for range r.Intn(3) {
			b.WriteString(":" + pick(r, pieces.flags))
		}
		if r.Intn(2) == 0 {
			b.WriteString(" " + pick(r, pieces.users))
		}
		b.WriteString(pick(r, []string{"\n", "\r\n", " # x\n", "#x\n", "\n\n", "\\\n"}))
	}
	return b.String()
}

// Whatever pam_namespace's file says, the text loads or something was refused.
func TestLoadsOrRefused(t *testing.T) {
	loaded := 0
	for seed := range int64(5000) {
		text := generated(rand.New(rand.NewSource(seed)))
		r := Config([]config.Source{{Name: "generated", Data: []byte(text)}}, machine)
		if promise(t, r); !r.Refused() {
			loaded++
		}
		moved := machine
		moved.Parents = "/var/lib/polyinst"
		promise(t, Config([]config.Source{{Name: "generated", Data: []byte(text)}}, moved))
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
	}
	if loaded < 100 {
		t.Errorf("only %d of 5000 were not refused: the property is hardly tried", loaded)
	}
}

func FuzzConfig(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.conf")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		for line := range strings.Lines(string(data)) {
			f.Add([]byte(line))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := []config.Source{{Name: "fuzz", Data: data}}
		for _, facts := range []Facts{{}, machine} {
			r := Config(src, facts)
			if !reflect.DeepEqual(r, Config(src, facts)) {
				t.Error("two answers")
			}
			promise(t, r)
			checkRemarks(t, r)
		}
	})
}

func FuzzPAM(f *testing.F) {
	data, err := os.ReadFile("testdata/su.pam")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("session required [pam_namespace.so] x\\\n[a\\]b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := config.Source{Name: "fuzz", Data: data}
		r := PAM(src)
		checkRemarks(t, r)
		checkRemarks(t, PAMLines(src))
		if !UsesPeer(data) && r.Text != string(data) {
			t.Errorf("%q changed to %q", data, r.Text)
		}
		if UsesPeer([]byte(r.Text)) {
			t.Errorf("%q still uses pam_namespace", r.Text)
		}
	})
}

// checkRemarks holds that each remark is one line that a terminal can show.
func checkRemarks(t *testing.T, r Result) {
	t.Helper()
	for _, m := range r.Remarks {
		if s := m.String(); strings.ContainsAny(s, "\n\r\x00\x1b") || !utf8.ValidString(s) {
			t.Errorf("remark %q", s)
		}
	}
}
