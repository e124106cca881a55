package mountinfo

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// endless gives out the same bytes again and again.
type endless struct {
	line  []byte
	given int
}

func (e *endless) read(buf []byte) (int, error) {
	n := copy(buf, e.line[e.given%len(e.line):])
	e.given += n
	return n, nil
}

// A mountinfo is read in as much memory as one line takes, and not to the end where
// it has none; a line that is longer is known to be there.
func TestMountinfoIsReadWithinBounds(t *testing.T) {
	long := "37 35 8:1 /" + strings.Repeat(`a\012`, lineMax) + " /x rw - ext4 /dev/sda rw\n"
	text := "36 35 98:0 /mnt1\\040a /mnt2 rw,noatime shared:7 master:1 - ext3 /dev/root rw\n" + long + "38 35 8:1 / / ro - ext4 x\n39 35 8:2 /"
	r := bytes.NewReader([]byte(text))
	var got []Line
	err := eachLine(func(b []byte) (int, error) {
		n, err := r.Read(b[:min(len(b), 1000)])
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}, func(m Line) bool { got = append(got, m); return true })
	want := []Line{
		{ID: 36, Dev: unix.Mkdev(98, 0), Root: "/mnt1 a", Point: "/mnt2", Flags: "rw,noatime", FSType: "ext3", Options: "rw", Peers: 7, Master: 1},
		{ID: 37, Dev: unix.Mkdev(8, 1), Long: true},
		{ID: 38, Dev: unix.Mkdev(8, 1), Root: "/", Point: "/", Flags: "ro", FSType: "ext4"},
		{ID: 39, Dev: unix.Mkdev(8, 2), Root: "/"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: got %+v", err, got)
	}
	bomb := endless{line: []byte(long)}
	lines := 0
	if err := eachLine(bomb.read, func(Line) bool { lines++; return true }); !errors.Is(err, ErrTooMany) {
		t.Errorf("a mountinfo without an end: %v", err)
	}
	if bomb.given > linesMax+lineMax || lines > linesMax/lineMax {
		t.Errorf("%d bytes, %d lines were read", bomb.given, lines)
	}
}
