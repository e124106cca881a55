package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// What is taken says what was said, neither more nor less: written down again it
// has the same fields.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(question))
	f.Add([]byte(strings.NewReplacer("ns=mnt:[4026531841]", "ns=", "inplace=1", "inplace=0", "arg=", "user=").Replace(question)))
	f.Add([]byte("=\x00==\x00\x00user=a=b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseRequest(raw)
		if err != nil {
			if !reflect.DeepEqual(r, Request{}) {
				t.Errorf("%v, and %+v", err, r)
			}
			return
		}
		said, again := strings.Split(string(raw), "\x00"), strings.Split(write(r), "\x00")
		slices.Sort(said)
		slices.Sort(again)
		if !slices.Equal(said, again) {
			t.Errorf("%q became %+v", raw, r)
		}
	})
}

// write is the question that the host would ask.
func write(r Request) string {
	flag := map[bool]int{true: 1}
	ns := ""
	if r.HostNS != 0 {
		ns = fmt.Sprintf("mnt:[%d]", r.HostNS)
	}
	text := fmt.Sprintf("build=%s\x00user=%s\x00service=%s\x00tty=%s\x00ruser=%s\x00rhost=%s\x00open=%d\x00silent=%d\x00ns=%s\x00inplace=%d\x00back=%d\x00closes=%d\x00exec=%d\x00"+
		"pid=%d\x00tid=%d\x00ruid=%d\x00held=%d\x00helduser=%s\x00ready=%s\x00", r.Build, r.User, r.Service, r.TTY, r.RUser, r.RHost, flag[r.Open], flag[r.Silent], ns, flag[r.InPlace],
		flag[r.Back], flag[r.Closes], flag[r.Exec], r.HostPID, r.HostThread, r.HostUID, r.Held, r.HeldUser, r.Ready)
	for _, arg := range r.Args {
		text += "arg=" + arg + "\x00"
	}
	return text
}

// What is sent for the log is one line that a terminal can show, and fits into a
// message.
func FuzzClip(f *testing.F) {
	f.Add("two\nlines \x1b[31m \u2028 \xff")
	f.Add(strings.Repeat("ä", 3000))
	f.Fuzz(func(t *testing.T, text string) {
		got := Clip(text)
		if len(got) > textMax+len(" (cut)") {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 {
				t.Errorf("%q has %q", got, r)
			}
		}
		if utf8.ValidString(text) && len(text) <= textMax && utf8.RuneCountInString(text) != utf8.RuneCountInString(got) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
