package faults

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

// lack is something that the machine is out of, or without.
type lack struct {
	name  string
	spoil string // a shell script, in a mount namespace of the host's own
	again bool   // the user has been here before
	says  string // of the refusal; none: the session opens
	toml  string // methods
	blind bool   // the host cannot look at itself
	full  bool   // with as many mounts as fs.mount-max permits
}

// onTmpfs puts a directory on a filesystem of its own, with what is in it.
func onTmpfs(dir, options string) string {
	return fmt.Sprintf("mkdir -p %[1]s; cp -a %[1]s /mnt/was; mount -t tmpfs -o mode=0755,%[2]s none %[1]s; cp -a /mnt/was/. %[1]s; ", dir, options)
}

const (
	fillBlocks = "; dd if=/dev/zero of=%[1]s/filler bs=4k 2>/dev/null || :"
	fillInodes = "; i=0; while mkdir %[1]s/filler$i 2>/dev/null; do i=$((i+1)); done"
)

func filled(dir, options, fill string) string {
	return onTmpfs(dir, options) + fmt.Sprintf(fill[2:], dir)
}

var lacks = []lack{
	{name: "nothing", spoil: ":"},
	{name: "instances' disk full", toml: strings.Replace(methods, `"user"`, "\"user\"\nskel = true", 1), spoil: filled(host.Parents, "size=256k", fillBlocks),
		says: `polydir "/tmp": .*is full`},
	{name: "instances' disk full, again", again: true, spoil: filled(host.Parents, "size=256k", fillBlocks)},
	{name: "instances' inodes full", spoil: filled(host.Parents, "nr_inodes=64", fillInodes),
		says: `polydir "/tmp": .*without a free inode`},
	{name: "instances' inodes full, again", again: true, spoil: filled(host.Parents, "nr_inodes=64", fillInodes),
		says: `polydir "/var/tmp": .*without a free inode`},
	{name: "/run full", spoil: filled("/run", "size=64k", fillBlocks), says: `/run/polyinst.*no space left on device`},
	{name: "/run has no inodes", spoil: filled("/run", "nr_inodes=64", fillInodes), says: `/run/polyinst.*no space left on device`},
	{name: "/proc absent", spoil: "umount -l /proc", says: `is /proc mounted\?`, blind: true},
	{name: "/sys absent", spoil: "umount -l /sys"},
	{name: "/dev empty", says: `polydir "/dev/shm": does not exist`, spoil: "touch /mnt/log; mount --bind /dev/log /mnt/log; " +
		"mount -t tmpfs none /dev; touch /dev/log; mount --bind /mnt/log /dev/log"},
	{name: "/tmp absent", spoil: "rmdir /tmp", says: `polydir "/tmp": `},
	{name: "root read-only", spoil: "mount -o remount,bind,ro /", says: `polydir "/tmp": .*read-only filesystem`},
	{name: "root read-only, again", again: true, spoil: "mount -o remount,bind,ro /", says: `polydir "/tmp": .*read-only filesystem`},
	{name: "root read-only, /var/lib/polyinst and /tmp not", spoil: onTmpfs(host.Parents, "size=1M") +
		"mount -t tmpfs none /tmp; mount -t tmpfs none /var/tmp; mount -o remount,bind,ro /"},
	{name: "mounts full (fs.mount-max)", full: true, blind: true, spoil: ":", says: `no space left on device`},
}

// fillMounts makes mounts in this thread's own namespace until there may be no
// more.
func fillMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("none", "/mnt", "tmpfs", 0, ""); err != nil {
		return err
	}
	for i := 0; ; i++ {
		dir := fmt.Sprintf("/mnt/%d", i%1000) // many on one would be slow to walk
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("/etc", dir, "", unix.MS_BIND, ""); errors.Is(err, unix.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestMachineWithout opens a session on a machine that is out of something.
func TestMachineWithout(t *testing.T) {
	var said buffer
	t.Run("of", func(t *testing.T) {
		for _, l := range lacks {
			if l.full && !full {
				continue // making 100,000 mounts takes its time
			}
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				host.Run(t, func(h *host.Host) { without(h, l) }, host.Tee(&said))
			})
		}
	})
	if !host.Inside() {
		t.Log("\n| the machine | the session | saying |\n|---|---|---|\n" + rows(said.String()))
	}
}

func without(h *host.Host, l lack) {
	if l.toml == "" {
		l.toml = methods
	}
	h.Sh("mkdir -p /etc/skel; head -c 300k /dev/zero >/etc/skel/big")
	w, err := newSweep(h, setup{toml: l.toml, parents: methodParents, covered: methodPaths, again: l.again}, false)
	if err != nil {
		h.T.Fatal(err)
	}
	if err := w.fresh(); err != nil {
		h.T.Fatal(err)
	}
	mounts := h.ReadFile("/proc/1/mountinfo")
	steps := w.steps()
	if l.blind {
		steps = []string{"user=" + w.user, "start", "acct", "open", "close", "end"}
	}
	args := []string{"unshare", "-m", "--propagation", "private", "sh", "-ec", l.spoil + "\nexec \"$@\"", "sh", w.pamhost}
	for _, s := range steps {
		if s != "window" {
			args = append(args, s)
		}
	}
	home := -1
	if l.full {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if home, err = unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			h.T.Fatal(err)
		}
		if err := fillMounts(); err != nil {
			h.T.Fatal(err)
		}
		args = args[slices.Index(args, w.pamhost):]
	}
	got, err := w.exec(args)
	if err != nil {
		h.T.Fatal(err)
	}
	rc := got.steps["open"].RC
	outcome, why := "opened", reason(got)
	switch {
	case got.late || got.code != 0:
		h.T.Errorf("the host ended with %d:\n%s%s", got.code, got.text, got.logText())
	case l.says == "" && rc != host.PAMSuccess:
		h.T.Errorf("refused:\n%s", got.logText())
	case l.says == "":
		if w.normal.steps["inspect"].Text != got.steps["inspect"].Text && !l.blind {
			h.T.Errorf("the user sees %q, want %q", got.steps["inspect"].Text, w.normal.steps["inspect"].Text)
		}
	case rc != host.PAMRefused || !regexp.MustCompile(l.says).MatchString(why):
		h.T.Errorf("open returned %d, saying %q, want a refusal that says %q:\n%s", rc, why, l.says, got.text)
	default:
		outcome = "refused"
		if diff := got.steps["snapshot:before"].State.Diff(got.steps["snapshot:open"].State); len(diff) > 0 {
			h.T.Errorf("a refusal changed the host: %v", diff)
		}
	}
	if l.name == "/tmp absent" {
		h.Mkdir("/tmp", 0o1777, 0, 0)
	}
	if now := h.ReadFile("/proc/1/mountinfo"); now != mounts {
		h.T.Errorf("the machine's mounts: %s", difference(mounts, now))
	}
	if l.full {
		if err := unix.Setns(home, unix.CLONE_NEWNS); err != nil {
			h.T.Fatal(err)
		}
	}
	next, err := w.run()
	if err != nil {
		h.T.Fatal(err)
	}
	for _, wrong := range w.judgeNext(next) {
		h.T.Errorf("%s\n%s", wrong, next.logText())
	}
	fmt.Printf("| %s | %s | %s |\n", l.name, outcome, why)
}
