package wire

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("../../../pam_polyinst/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The two ends agree: wire.h has the messages, actions and sizes of this
// package, and host.c and ask.c ask with the keys that ParseRequest wants.
func TestWire(t *testing.T) {
	header := read(t, "wire.h")
	c := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\t([A-Z_]+) = ('.'|\d+),`).FindAllStringSubmatch(header, -1) {
		if n, err := strconv.Atoi(m[2]); err == nil {
			c[m[1]] = n
		} else {
			c[m[1]] = int(m[2][1])
		}
	}
	if !strings.Contains(header, `#define READY_SOCKET "`+ReadySocket+`"`) {
		t.Errorf("wire.h has another socket than %s", ReadySocket)
	}
	ours := map[string]int{
		"HELLO": hello, "DEADLINE": deadline, "LOGLINE": logLine, "TELL": tell, "MOUNTED": mounted, "ELSEWHERE": elsewhere,
		"COUNTS": counts, "SKIP_CLOSE": skipClose, "GOES_ON": goesOn, "REPORT": report, "CANNOT": cannot,
		"STAY": int(Stay), "STAY_HOME": int(StayHome), "JOIN": int(Join), "JOIN_KEEP_BACK": int(JoinKeepBack),
		"IN_PLACE": int(InPlace), "RETRY_IN_PLACE": int(RetryInPlace),
		"MOUNTS_MAX": MountsMax, "BACK_FD": BackFD,
	}
	for name, want := range ours {
		if got, ok := c[name]; !ok || got != want {
			t.Errorf("%s is %d in wire.h, want %d", name, got, want)
		}
	}
	alone := []string{"REQUEST_MAX", "MESSAGE_MAX", "SOCKET_FD"} // in C alone
	for name := range c {
		if _, ok := ours[name]; !ok && !slices.Contains(alone, name) {
			t.Errorf("wire.h has %s, this package has not", name)
		}
	}

	if want := fmt.Sprintf("DEADLINE_MS = %d,", FirstDeadline); !strings.Contains(read(t, "edge.h"), want) {
		t.Errorf("edge.h has no %q", want)
	}

	_, fields, _ := strings.Cut(header, "struct report {")
	fields, _, _ = strings.Cut(fields, "}")
	var layout []string
	for _, m := range regexp.MustCompile(`(?m)^\tuint(\d+)_t (\w+);`).FindAllStringSubmatch(fields, -1) {
		layout = append(layout, m[2]+":"+m[1])
	}
	if want := []string{"type:8", "action:8", "code:8", "priority:8", "nstypes:32"}; !slices.Equal(layout, want) {
		t.Errorf("wire.h: a report is %v, want %v", layout, want)
	}
	bare := Report{Action: Join, Code: Refused, Priority: Warning, NSTypes: 0x01010101, Counts: true, SkipClose: true, GoesOn: true}.packet()
	if want := "RJ\x06\x3c\x01\x01\x01\x01"; string(bare) != want {
		t.Errorf("a report is %q, want %q", bare, want)
	}
	long := Report{Text: strings.Repeat("x", 2*textMax)}.packet()
	if len(long) >= c["MESSAGE_MAX"] { // the host keeps a byte for the NUL
		t.Errorf("a report has up to %d bytes, and the host takes %d", len(long), c["MESSAGE_MAX"]-1)
	}

	var asked []string
	for _, m := range regexp.MustCompile(`"([a-z]+)="`).FindAllStringSubmatch(read(t, "host.c")+read(t, "ask.c"), -1) {
		asked = append(asked, m[1])
	}
	wanted := append(slices.Collect(maps.Keys(new(Request).keys())), "arg")
	slices.Sort(asked)
	asked = slices.Compact(asked) // "ready" once more where a ready worker did not answer
	slices.Sort(wanted)
	if !slices.Equal(asked, wanted) {
		t.Errorf("host.c and ask.c ask with %v, want %v", asked, wanted)
	}
}
