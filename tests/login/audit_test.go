package login

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What is handed to the kernel's audit log, as strace sees it: the disposable host
// cannot read the log itself, which belongs to the machine. That it arrives there, vm:audit shows.
func TestAuditRecords(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.Need("strace")
		sent := func(inject string, steps ...string) (host.Trace, string) {
			h.T.Helper()
			args := []string{"strace", "-f", "-qq", "-s", "9000", "-o", "/root/trace", "-e", "trace=sendto,recvfrom"}
			if inject != "" {
				args = append(args, "-e", "inject="+inject)
			}
			tr := h.Command(append(append(args, h.Built("pamhost")), steps...)...).Trace()
			var records []string
			for line := range strings.Lines(h.ReadFile("/root/trace")) {
				if strings.Contains(line, "sendto(") && strings.Contains(line, "nlmsg_type=") {
					records = append(records, plain(line))
				}
			}
			return tr, strings.Join(records, "")
		}

		tr, records := sent("", append([]string{"tty=pts/7", "rhost=a b"}, kit.Steps("open", "close", "end")...)...)
		tr.RC("open", host.PAMSuccess)
		h.Match("the record", records, `nlmsg_type=(AUDIT_TRUSTED_APP|0x461)[^,]*, nlmsg_flags=NLM_F_REQUEST\|NLM_F_ACK, .*op=polyinst:open acct="alice" mntns=[0-9]+ `+
			`dir="/tmp" path="`+kit.Instance("alice")+`" service="pamhost" hostpid=[0-9]+ exe="[^"]*/pamhost" hostname=612062 addr=\? terminal="pts/7" res=success`)
		host.Equal(h, "records", strings.Count(records, "op=polyinst:"), 1)

		h.Config("[namespace]\nscope = \"user\"\n" + kit.OwnTmp)
		first := h.PamHostCommand(kit.Steps("open", "print:open", "pause")...).Start()
		first.Expect(`"print"`)
		_, records = sent("", kit.Steps("open", "close", "end")...)
		h.WaitLog("of the user's other sessions")
		h.Match("of a session that joins the user's namespace", records, `op=polyinst:open acct="alice" mntns=[0-9]+ dir="/tmp" path="`+kit.Instance("alice")+`" .* res=success`)
		first.Send("\n")
		first.Wait()

		h.MustRun("chmod", "755", kit.Instance(""))
		tr, records = sent("", kit.Steps("open", "end")...)
		tr.RC("open", host.PAMRefused)
		h.Match("of a refusal", records, `op=polyinst:open acct="alice" dir="/tmp" reason="host" .* res=failed`)
		h.MustRun("chmod", "0", kit.Instance(""))

		// no audit log, or none for us: the session is the same
		for _, inject := range []string{"sendto:error=EPERM", "sendto:error=ECONNREFUSED"} {
			tr, _ := sent(inject, kit.Steps("open", "exec:"+kit.WhichTmp, "close", "end")...)
			tr.RC("open", host.PAMSuccess)
			kit.InInstance(h, inject, "alice", tr.Step("exec").Text)
		}
		tr = h.PamHost(append([]string{"dropcap:cap_audit_write"}, kit.Steps("open", "exec:"+kit.WhichTmp, "close", "end")...)...)
		tr.RC("open", host.PAMSuccess)
		kit.InInstance(h, "without CAP_AUDIT_WRITE", "alice", tr.Step("exec").Text)
	})
}

// plain undoes strace's way to write what it does not know.
func plain(line string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(line, func(code string) string {
		char, _ := strconv.ParseUint(code[2:], 16, 8)
		return string(rune(char))
	})
}

// The host that shows its records nowhere: no kernel with audit at all.
func TestAuditAbsent(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.Need("strace")
		args := []string{"strace", "-f", "-qq", "-o", "/root/trace", "-e", "trace=socket", "-e", "inject=socket:error=EPROTONOSUPPORT:when=1+"}
		tr := h.Command(append(append(args, h.Built("pamhost")), kit.Steps("open", "exec:"+kit.WhichTmp, "close", "end")...)...).Trace()
		tr.RC("open", host.PAMSuccess)
		h.Match("the trace", h.ReadFile("/root/trace"), "NETLINK_AUDIT.*EPROTONOSUPPORT")
		kit.InInstance(h, "without audit", "alice", tr.Step("exec").Text)
	})
}
