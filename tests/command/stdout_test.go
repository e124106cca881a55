package command

import (
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Every command that loses what it prints says so, with exit status 1; one whose
// reader has gone away says nothing.
func TestStandardOutputIsFull(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.WriteFile("/root/peer.conf", "/tmp /var/lib/polyinst/tmp/ user root\n")
		h.WriteFile("/root/x.toml", "colour = 1\n")
		commands := map[string]string{
			"enable": "--no-confirm --user root login", "confirm": "", "status": "", "doctor": "alice", "disable": "login",
			"check": "", "edit": "", "explain": "alice", "try": "alice", "prepare": "", "list": "", "enter": "", "real": "/tmp",
			"gc": "", "metrics": "", "report": "", "rename": "", "convert": "/root/peer.conf", "completion": "bash", "serve": "", "watch": "",
		}
		for _, name := range kit.CommandNames(h) {
			args, known := commands[name]
			if !known {
				t.Errorf("%s: no case for it", name)
			}
			setup := ""
			switch name {
			case "enable":
				setup = "echo session required pam_unix.so >/etc/pam.d/login; "
			case "prepare":
				setup = "rm -r /var/lib/polyinst/tmp; "
			case "gc":
				setup = "install -d -m 1777 /var/lib/polyinst/tmp/.new.alice; "
			case "enter", "real", "list", "rename", "serve", "watch":
				continue // what their commands print, or what happens; list is below
			}
			r := h.Command("/bin/sh", "-c", setup+"polyinst "+name+" "+args+" >/dev/full").Env("EDITOR=true").Run()
			host.Equal(h, name+": exit status", r.Code, 1)
			h.Match(name, r.Stderr, `(?m)^polyinst: standard output: no space left on device$`)
		}
		h.Sh("su alice -c 'sleep 1000' & echo $!")
		h.WaitLog(`session opened for "alice"`)
		for _, command := range []string{"try alice", "try alice -- seq 100000", "list", "list --json", "list --instances", "check --json", "explain alice --json", "convert --json /root/peer.conf",
			"--help", "gc --help", "help gc", "--version", "gc --dry-run --orphans --json", "report", "report --json"} {
			r := h.Cmd("/bin/sh", "-c", "polyinst "+command+" >/dev/full")
			host.Equal(h, command+": exit status", r.Code, 1)
			host.Equal(h, command, r.Stderr, "polyinst: standard output: no space left on device\n")
			r = h.Cmd("/bin/bash", "-c", "polyinst "+command+" | true; exit ${PIPESTATUS[1]}")
			host.Equal(h, command+", nobody reads", r.Stderr, "")
			// as under a service manager, which has it ignored
			r = h.Cmd("/bin/sh", "-c", "trap '' PIPE; polyinst "+command+" | true")
			host.Equal(h, command+", nobody reads, no signal", r.Stderr, "")
		}
	})
}
