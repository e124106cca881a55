package dirfd

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// What is one uid's is the other's afterwards, and nothing else: not what a link
// leads to, not what is another's, not what is mounted there.
func TestGiveTree(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 1001 tree", "d 0755 0 tree/roots", "f 4755 1001 tree/roots/setuid", "f 0644 1002 tree/anothers",
		"l 1001 tree/link ../outside", "f 0600 1001 outside", "l 0 tree/rootslink ../outside")
	if err := os.Link(dir+"/tree/anothers", dir+"/tree/roots/second"); err != nil {
		t.Fatal(err)
	}
	entries := 0
	if err := open(t, dir+"/tree").GiveTree(1001, 2001, func() { entries++ }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range listing(t, dir) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+strings.Split(f[1], ":")[0]+" "+f[2])
	}
	want := []string{
		"100600 1001 outside", "040755 2001 tree", "100644 1002 tree/anothers", "120777 2001 tree/link", "040755 0 tree/roots",
		"100644 1002 tree/roots/second", "100755 2001 tree/roots/setuid", "120777 0 tree/rootslink",
	}
	if !slices.Equal(got, want) || entries != 7 {
		t.Errorf("%d entries:\n%s\nwant\n%s", entries, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestGiveTreeStopsAtMounts(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 1001 tree", "d 0755 1001 tree/mnt")
	if err := unix.Mount("x", dir+"/tree/mnt", "tmpfs", 0, "uid=1001"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir+"/tree/mnt", 0)
	if err := open(t, dir+"/tree").GiveTree(1001, 2001, nil); !IsOtherMount(err) {
		t.Errorf("no word of what is mounted there: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/tree/mnt", &st); err != nil || st.Uid != 1001 {
		t.Error(st.Uid, err)
	}
}
