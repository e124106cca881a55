package host

import (
	"os"
	"path/filepath"
	"strings"
)

// CronJob runs a shell command as a user from cron and returns its output. It
// is an @reboot job, which cron runs as it starts: no minute has to pass.
func (h *Host) CronJob(u User, command string) string {
	h.T.Helper()
	h.Need("cron")
	for _, dir := range []string{"/etc/cron.d", "/var/spool/cron/crontabs"} {
		for _, name := range h.Names(dir) {
			h.check(os.Remove(filepath.Join(dir, name)))
		}
	}
	h.WriteFile("/etc/crontab", "")
	h.check(os.RemoveAll("/run/crond.reboot"))
	fifo := "/run/cron.out"
	h.check(os.RemoveAll(fifo))
	h.Fifo(fifo)
	tab := filepath.Join("/var/spool/cron/crontabs", u.Name)
	command = strings.ReplaceAll(command, "%", `\%`) // crontab(5)'s line end
	h.WriteFile(tab, "@reboot ( "+command+" ) >"+fifo+" 2>&1\n", 0o600)
	h.check(os.Chown(tab, u.UID, u.GID))
	p := h.Start("/usr/sbin/cron", "-f")
	defer p.Kill()
	return strings.TrimSpace(h.ReadFifo(fifo))
}

// AtJob runs a shell script as a user from atd, queued by at(1) for now, and
// returns its output.
func (h *Host) AtJob(u User, script string) string {
	h.T.Helper()
	h.Need("atd", "at")
	for _, name := range h.Names("/var/spool/cron/atjobs") {
		if name != ".SEQ" {
			h.check(os.RemoveAll(filepath.Join("/var/spool/cron/atjobs", name)))
		}
	}
	fifo := "/run/at.out"
	h.check(os.RemoveAll(fifo))
	h.Fifo(fifo)
	h.Command("at", "-M", "now").As(u).Stdin("( " + script + "\n) >" + fifo + " 2>&1\n").Must()
	p := h.Start("/usr/sbin/atd", "-f")
	defer p.Kill()
	return strings.TrimSpace(h.ReadFifo(fifo))
}
