package ready

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// TestReadyLeavesTheOuterTmpdir: a session that is built on the view of another one, and
// so shows that one's tmpdir, is left by its worker before its program goes on, be the
// way back slow: else the outer close would find the tmpdir in use.
func TestReadyLeavesTheOuterTmpdir(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		serve.Stop() // so that close has to remove the outer tmpdir
		h.Config(`
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "tmpdir"
only            = ["alice"]

[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/tmp/v."
method          = "user"
only            = ["bob"]
`)
		h.PAM("su", host.Stack(kit.Session+" nested=keep")...)
		for tries := 0; ; tries++ {
			if tries == 20 {
				t.Fatal("the nested session was never served")
			}
			outer := h.Start("su", "alice", "-c", "echo opened; read x; echo "+host.Password+" | su bob -c 'stat -c %a /var/tmp'; read x")
			outer.Expect("opened")
			serve = h.Serve("--workers", "1")
			_, tracer := trace(h, serve, "-o", "/root/calls", "-e", "inject=setns:delay_enter=150000")
			outer.Send("\n")
			outer.Expect("1777")
			outer.Send("\n")
			outer.Wait()
			served := strings.Contains(h.ReadFile("/root/calls"), "DELAYED")
			host.Equal(h, "left behind", tmpdirs(h), "")
			tracer.Kill()
			serve.Stop()
			if served {
				return
			}
		}
	})
}

// TestReadyLetsGoOfVolumes: where a line "close" has other modules clean up, what they
// mounted before the session is held by no worker any more, be it slow to hear that the
// program has joined.
func TestReadyLetsGoOfVolumes(t *testing.T) {
	ready(t, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config(strings.NewReplacer(`"/tmp"`, `"$HOME/box"`, `"/var/lib/polyinst/tmp/"`, `"$HOME/.inst/"`).Replace(kit.OwnTmp) +
			"parent_in_unsafe_dir = true\ncreate = { mode = \"0700\" }\n")
		h.WriteFile("/usr/local/sbin/volume", `#!/bin/sh
case $PAM_TYPE in
open_session) mount -t tmpfs -o mode=700,uid=$(id -u "$PAM_USER") volume /home/"$PAM_USER" ;;
close_session) umount /home/"$PAM_USER" ;;
esac
`, 0o755)
		h.PAM("su", host.Stack("session optional pam_polyinst.so close", "session required pam_exec.so seteuid /usr/local/sbin/volume", kit.Session)...)
		open := func(args ...string) string {
			t.Helper()
			_, tracer := trace(h, serve, append([]string{"-o", "/root/calls", "-e", "trace=read"}, args...)...)
			h.MustRun("su", "alice", "-c", "true")
			host.Equal(h, "left mounted", h.Sh("grep ' /home/alice ' /proc/self/mountinfo || :"), "")
			tracer.Signal(unix.SIGINT)
			tracer.Wait()
			return h.ReadFile("/root/calls")
		}
		const word = `, "\0\0\0\0", 4)` // that it has joined
		for tries := 0; ; tries++ {
			if tries == 20 {
				t.Fatal("the word of the program was never slow")
			}
			at, n := 0, 0
			for line := range strings.Lines(open()) {
				if strings.HasPrefix(line, "read(") {
					n++
				}
				if strings.Contains(line, word) {
					at = n
				}
			}
			slow := open("-e", fmt.Sprintf("inject=read:delay_exit=300000:when=%d", at))
			if slices.ContainsFunc(strings.Split(slow, "\n"), func(line string) bool { return strings.Contains(line, word) && strings.Contains(line, "DELAYED") }) {
				return
			}
		}
	})
}
