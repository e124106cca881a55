package hostconn

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Each field of a question is a value of its key, in their order; nothing else
// is made of it.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("user=alice\x00arg=debug\x00arg=conf=/x\x00junk\x00"))
	f.Add([]byte("=\x00==\x00\x00user=a=b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, values := ParseRequest(raw), 0
		for key, list := range got {
			values += len(list)
			if strings.ContainsAny(key, "=\x00") {
				t.Errorf("key %q", key)
			}
			at := 0
			for _, v := range list {
				if strings.ContainsRune(v, 0) {
					t.Errorf("value %q", v)
				}
				i := strings.Index(string(raw[at:]), key+"="+v)
				if i < 0 {
					t.Fatalf("%q=%q is not in %q behind %d", key, v, raw, at)
				}
				at += i
			}
		}
		fields := 0
		for field := range strings.SplitSeq(string(raw), "\x00") {
			if strings.Contains(field, "=") {
				fields++
			}
		}
		if fields != values {
			t.Errorf("%d fields, %d values", fields, values)
		}
	})
}

// What is sent for the log is one line that a terminal can show, and fits into a
// message.
func FuzzClip(f *testing.F) {
	f.Add("two\nlines \x1b[31m \u2028 \xff")
	f.Add(strings.Repeat("ä", 3000))
	f.Fuzz(func(t *testing.T, text string) {
		got := clip(text)
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
