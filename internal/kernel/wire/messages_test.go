package wire

import (
	"reflect"
	"strings"
	"testing"
)

// A line for the log is one line, whatever a user put into it.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                     "plain",
		"two\nlines":                "two?lines",
		"\x1b[31mred\x07\x7f":       "?[31mred??",
		"c1 \u0085 and \u2028 here": "c1 ? and ? here",
		"umlaut ä":                  "umlaut ä",
	} {
		if got := Clip(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := Clip(strings.Repeat("x", 9000)); len(got) > textMax+10 || !strings.HasSuffix(got, "(cut)") {
		t.Errorf("%d bytes", len(got))
	}
}

// question is a well-formed one.
const question = "build=b\x00user=alice\x00service=su\x00tty=pts/1\x00ruser=bob\x00rhost=\x00open=1\x00silent=0\x00ns=mnt:[4026531841]\x00inplace=1\x00back=0\x00closes=1\x00exec=1\x00" +
	"pid=12\x00tid=13\x00ruid=4294967295\x00held=2\x00helduser=carol\x00ready=\x00arg=debug\x00arg=conf=/x\x00"

func TestParseRequest(t *testing.T) {
	want := Request{Build: "b", User: "alice", Service: "su", TTY: "pts/1", RUser: "bob", Open: true, InPlace: true, Closes: true, Exec: true, HostNS: 4026531841,
		HostPID: 12, HostThread: 13, HostUID: 4294967295, Held: 2, HeldUser: "carol", Args: []string{"debug", "conf=/x"}}
	got, err := ParseRequest([]byte(question))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// A question with anything wrong about it is no question: a "held" that became 0
// would let a second user in (I-13).
func TestParseRequestIsStrict(t *testing.T) {
	for old, bad := range map[string][]string{
		"user=alice\x00":                      {"", "user=alice\x00user=bob\x00", "user\x00", "User=alice\x00", "\x00user=alice\x00"},
		"held=2":                              {"held=", "held=-1", "held=+2", "held=02", "held=2 ", "held=x", "held=2147483648", "held=99999999999999999999"},
		"held=2\x00":                          {""},
		"helduser=carol\x00":                  {""},
		"pid=12":                              {"pid=0", "pid=-12", "pid="},
		"tid=13":                              {"tid=0", "tid=1x"},
		"ruid=4294967295":                     {"ruid=4294967296", "ruid=", "ruid=-1"},
		"inplace=1":                           {"inplace=2", "inplace=", "inplace=true"},
		"closes=1\x00":                        {"", "closes=\x00"},
		"exec=1\x00":                          {"", "exec=\x00", "exec=2\x00"},
		"ns=mnt:[4026531841]":                 {"ns=", "ns=4026531841", "ns=mnt:[0]", "ns=mnt:[]", "ns=mnt:[4026531841", "ns=net:[4026531841]"},
		"arg=conf=/x\x00":                     {"arg=conf=/x", "arg\x00", "args=conf=/x\x00", "arg=conf=/x\x00\x00"},
		"silent=0\x00ns=":                     {"silent=0\x00silent=0\x00ns=", "ns="},
		"ready=\x00":                          {""},
		"back=0\x00closes=1\x00exec=1\x00pid": {"pid"},
	} {
		for _, b := range bad {
			raw := strings.Replace(question, old, b, 1)
			if got, err := ParseRequest([]byte(raw)); err == nil {
				t.Errorf("%q for %q is taken: %+v", b, old, got)
			}
		}
	}
	for _, raw := range []string{"", "\x00", question[:20]} {
		if got, err := ParseRequest([]byte(raw)); err == nil {
			t.Errorf("%q is taken: %+v", raw, got)
		}
	}
	if _, err := ParseRequest([]byte(strings.NewReplacer("ns=mnt:[4026531841]", "ns=", "inplace=1", "inplace=0").Replace(question))); err != nil {
		t.Errorf("a host that cannot read its link, and has not unshared itself: %v", err)
	}
}
