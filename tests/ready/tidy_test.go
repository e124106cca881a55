package ready

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What a user did to the parent in their home is nothing that the service tells root,
// and nobody advises root to change what the user can put a link in the place of.
func TestReadyTidiesHomes(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Forks()
		h.Config(strings.Replace(kit.ParentInHome, `"user"`, `"tmpdir"`, 1))
		h.PAM("su", host.Stack(kit.Session)...)
		alice := h.AddUser("alice")
		h.AddUser("bob")
		for _, user := range []string{"alice", "bob"} {
			h.Sh("mkdir /home/" + user + "/box; chown " + user + ": /home/" + user + "/box")
		}
		spoiled := func() {
			h.T.Helper()
			p := h.Start("su", "alice", "-c", "echo opened; read x")
			p.Expect("opened")
			h.Command("sh", "-c", "mv ~/.inst ~/.was; mkdir ~/.inst").As(alice).Must()
			p.Send("\n")
			p.Wait()
		}
		service := h.Start("polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		spoiled()
		h.MustRun("su", "bob", "-c", "touch ~/box/x")
		h.Sh("until ! ls -A /home/bob/.inst | grep -q tmpdir; do :; done")
		service.Signal(unix.SIGTERM)
		host.Equal(h, "the service has said", service.Wait().Stdout, "")
		h.MustRun("rmdir", "/home/alice/.inst")
		h.MustRun("mv", "/home/alice/.was", "/home/alice/.inst")
		h.ForgetLog()
		spoiled()
		host.Equal(h, "a close", h.WaitLog("close: ").Text, "pam_polyinst(su:session): close: /home/alice/.inst: owned by uid 2001, mode 0755, and is to be root's alone: look at it and move it away; `polyinst gc` removes what is left")
	})
}

// However many views of a user have ended whose directories another namespace of theirs
// shows, the service looks at the namespaces once for all of them.
func TestReadyLooksOnceForAll(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace", "unshare")
		h.Config(kit.Tmpdir)
		for range 5 {
			h.MustRun("su", "alice", "-c", "unshare -Urm sh -c 'echo >~/in; sleep 1000' </dev/null >/dev/null 2>&1 & until [ -e ~/in ]; do :; done; rm ~/in")
		}
		serve.Stop()
		alices := tmpdirs(h)
		service := h.Start("strace", "-ff", "-qq", "-o", "/root/calls", "-e", "trace=ioctl,getdents64", "-y", "polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		h.MustRun("su", "bob", "-c", "touch /tmp/x")
		gone(h, alices)
		service.Kill()
		rounds, looks := 0, 0
		for _, name := range h.Names("/root") { // one file for each thread
			if !strings.HasPrefix(name, "calls.") {
				continue
			}
			calls := h.ReadFile("/root/" + name)
			if n := len(asks.FindAllString(calls, -1)); n > 0 {
				// the names of the records are read once for a round, and once for a look
				looks += n
				rounds += len(reads.FindAllString(calls, -1)) - n
			}
		}
		if looks == 0 || looks > rounds {
			t.Errorf("in %d rounds it looked %d times at all namespaces", rounds, looks)
		}
	})
}

// asks is the first call of a look at all namespaces, as strace before 6.12 and since
// then has it, and reads one that has got names of records.
var (
	asks  = regexp.MustCompile(`(?m)^ioctl\(\d+<mnt:\[\d+\]>, (_IOC\(_IOC_READ, 0xb7, 0xa, 0x10\)|NS_MNT_GET_INFO)`)
	reads = regexp.MustCompile(`(?m)^getdents64\(\d+</run/polyinst>, .* [1-9]\d* entries`)
)

// What one user mounts keeps nobody else's directory.
func TestReadyRemovesBesideMounts(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Config(kit.Tmpdir)
		p := h.Start("su", "bob", "-c", "echo opened; read x")
		p.Expect("opened")
		alice := host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
		bomb := h.Command("unshare", "-U", "-r", "-m", h.Built("attacker"), "in-own-userns", "bomb", "/home/alice", "1500").As(alice).Start()
		bomb.Expect("mounted <nil>")
		p.Send("\n")
		p.Wait()
		gone(h, "")
		bomb.CloseInput()
		bomb.Wait()
	})
}

// What one user has left, however much it is and however slowly it goes, keeps no other's
// tmpdir waiting.
func TestReadySharesItsTime(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace", "perl")
		h.Config(kit.Tmpdir)
		p := h.Start("su", "alice", "-c", "perl -e 'for (1..20000) { open my $f, q(>), qq(/tmp/$_) or die }'; echo made; read x")
		p.Expect("made")
		alices := tmpdirs(h)
		tracer := h.Start("strace", "-f", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=5000", "-p", strconv.Itoa(serve.PID()))
		tracer.Expect("attached")
		p.Send("\n")
		p.Wait()
		tracer.Expect("unlinkat.*DELAYED")
		h.MustRun("su", "bob", "-c", "touch /tmp/x")
		gone(h, alices)
		tracer.Signal(unix.SIGINT)
		tracer.Wait()
		gone(h, "")
	})
}

// The same if it lies in very many instances: a user's are looked after one after the other.
func TestReadySharesItsTimeAmongUsers(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace", "perl")
		h.Config(kit.Tmpdir)
		var all []*host.Process
		for range 10 {
			p := h.Start("su", "alice", "-c", "perl -e 'for (1..2000) { open my $f, q(>), qq(/tmp/$_) or die }'; echo made; read x")
			p.Expect("made")
			all = append(all, p)
		}
		serve.Stop()
		for _, p := range all {
			p.Send("\n")
			p.Wait()
		}
		alices := tmpdirs(h)
		service := h.Start("strace", "-f", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=5000", "polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		service.Expect("unlinkat.*DELAYED")
		h.MustRun("su", "bob", "-c", "touch /tmp/x")
		gone(h, alices)
		// one whose removal has begun is closed
		host.Equal(h, "alice's that were looked after meanwhile", strings.TrimSpace(h.Sh("find /var/lib/polyinst/tmp -maxdepth 1 -name '.tmpdir*' -perm 0700 | wc -l")), "1")
		service.Kill()
	})
}

// A fault of root's is told once, however many parts it takes to remove what users have left.
func TestReadyTellsAFaultOnce(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace", "perl")
		h.Config(kit.Tmpdir + strings.NewReplacer("/polyinst/tmp", "/polyinst/var", `"/tmp"`, `"/var/tmp"`, `["root"]`, `["root", "alice"]`).Replace(kit.Tmpdir))
		h.MustRun("polyinst", "prepare")
		var all []*host.Process
		for user, files := range map[string]string{"alice": "100", "bob": "1"} {
			p := h.Start("su", user, "-c", "perl -e 'for (1.."+files+") { open my $f, q(>), qq(/tmp/$_) or die }'; echo made; read x")
			p.Expect("made")
			all = append(all, p)
		}
		serve.Stop()
		for _, p := range all {
			p.Send("\n")
			p.Wait()
		}
		h.MustRun("chmod", "0777", "/var/lib/polyinst/var")
		service := h.Start("strace", "-f", "-qq", "-o", "/root/calls", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=5000", "polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		service.Expect("wait for gc: /var/lib/polyinst/var: mode 0777")
		for range 2 { // all that has ended is looked at for each
			gone(h, "")
			h.MustRun("su", "alice", "-c", "touch /tmp/x")
		}
		gone(h, "")
		service.Kill()
		host.Equal(h, "how often it is told", strings.Count(service.Wait().Stdout, "wait for gc: "), 1)
	})
}

// What cannot be removed, however long that takes to find out, keeps nothing else of its
// user's waiting.
func TestReadyGoesOnBehindWhatFails(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace", "perl", "chattr")
		h.Config(kit.Tmpdir)
		h.MustRun("polyinst", "prepare")
		var all []*host.Process
		var stay []string
		for i := range 3 {
			before := h.Names("/var/lib/polyinst/tmp")
			p := h.Start("su", "alice", "-c", "perl -e 'for (1..100) { open my $f, q(>), qq(/tmp/$_) or die }'; echo made; read x")
			p.Expect("made")
			all = append(all, p)
			if i == 1 {
				continue // the one that can be removed is neither the first nor the last
			}
			for _, name := range h.Names("/var/lib/polyinst/tmp") {
				if !slices.Contains(before, name) && strings.HasPrefix(name, ".tmpdir") {
					stay = append(stay, name)
					h.Sh("chattr +i /var/lib/polyinst/tmp/" + name + "/*")
				}
			}
		}
		serve.Stop()
		for _, p := range all {
			p.Send("\n")
			p.Wait()
		}
		slices.Sort(stay)
		service := h.Start("strace", "-f", "-qq", "-o", "/root/calls", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=5000", "polyinst", "serve", "--foreground", "--workers", "1")
		h.WaitReady()
		gone(h, strings.Join(stay, " "))
		service.Kill()
		h.Sh("chattr -i /var/lib/polyinst/tmp/.tmpdir*/*")
	})
}
