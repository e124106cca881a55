package host

import (
	"os"
	"regexp"
	"strings"
)

// Auth is how an ssh client proves who it is.
type Auth string

// The ways in which Sshd lets a user in.
const (
	PublicKey           Auth = "publickey"
	PasswordAuth        Auth = "password"
	KeyboardInteractive Auth = "keyboard-interactive"
)

// Sshd is a running OpenSSH server: the host's, on the loopback interface, or a
// node's.
type Sshd struct {
	h       *Host
	address string
	Pid     int // of the listening process
}

const (
	sshDir    = "/etc/ssh/story"
	clientKey = sshDir + "/client"
)

// Sshd starts OpenSSH's server with UsePAM. Every account accepts the client's
// key and Password. Further lines of sshd_config(5) come first, so they win.
func (h *Host) Sshd(config ...string) *Sshd {
	h.T.Helper()
	return h.sshd(h.Command, "127.0.0.1", config)
}

func (h *Host) sshd(command func(...string) *Command, address string, config []string) *Sshd {
	h.T.Helper()
	h.Need("sshd", "ssh", "ssh-keygen")
	h.check(os.MkdirAll(sshDir, 0o755))
	for _, key := range []string{sshDir + "/host", clientKey} {
		if !h.Exists(key) {
			h.MustRun("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "story", "-f", key)
		}
	}
	h.WriteFile(sshDir+"/authorized_keys", h.ReadFile(clientKey+".pub"))
	h.WriteFile(sshDir+"/known_hosts", "* "+h.ReadFile(sshDir+"/host.pub"))
	h.WriteFile(sshDir+"/askpass", "#!/bin/sh\necho '"+Password+"'\n", 0o755)
	sftp := "/usr/lib/openssh/sftp-server"
	if !h.Exists(sftp) {
		sftp = "internal-sftp"
	}
	file := sshDir + "/sshd_config." + address
	h.WriteFile(file, strings.Join(append(config,
		"ListenAddress "+address+":22",
		"HostKey "+sshDir+"/host",
		"AuthorizedKeysFile "+sshDir+"/authorized_keys",
		"UsePAM yes",
		"PasswordAuthentication yes",
		"KbdInteractiveAuthentication yes",
		"PermitRootLogin yes",
		"UseDNS no",
		"PrintMotd no",
		"PrintLastLog no",
		"MaxStartups 100",
		"PidFile none",
		"Subsystem sftp "+sftp,
	), "\n")+"\n")
	p := command("/usr/sbin/sshd", "-D", "-f", file).Start()
	h.WaitLog("sshd: Server listening on " + regexp.QuoteMeta(address) + " port 22")
	return &Sshd{h: h, address: address, Pid: p.Pid()}
}

// SSH runs a command through ssh with the client's key, without a terminal.
func (s *Sshd) SSH(user string, command ...string) Result {
	s.h.T.Helper()
	return s.Client(PublicKey, user, command...).Run()
}

// Client prepares an ssh client that authenticates in one way. Arguments that
// begin with "-" and stand before the command are ssh's own. Run it, or start
// it on a terminal with OnPty: with a terminal the user asks for one by "-t".
func (s *Sshd) Client(auth Auth, user string, args ...string) *Command {
	own := 0
	for own < len(args) && strings.HasPrefix(args[own], "-") {
		own++
	}
	line := append([]string{"ssh"}, clientOptions(auth)...)
	line = append(line, args[:own]...)
	line = append(line, user+"@"+s.address)
	return s.withPassword(append(line, args[own:]...), auth)
}

// SFTP prepares an sftp client that runs these commands.
func (s *Sshd) SFTP(user string, commands ...string) *Command {
	args := append([]string{"sftp", "-b", "-"}, clientOptions(PublicKey)...)
	return s.h.Command(append(args, user+"@"+s.address)...).Stdin(strings.Join(commands, "\n") + "\n")
}

// SCP prepares an scp client; a remote name is Remote(user, path).
func (s *Sshd) SCP(args ...string) *Command {
	return s.h.Command(append(append([]string{"scp", "-q"}, clientOptions(PublicKey)...), args...)...)
}

// ClientCommand is the ssh client with its options, as one line for programs that
// start it themselves (rsync -e).
func ClientCommand() string { return "ssh " + strings.Join(clientOptions(PublicKey), " ") }

// Remote is how scp names a file at the server.
func Remote(user, path string) string { return user + "@127.0.0.1:" + path }

func clientOptions(auth Auth) []string {
	options := []string{"-F", "none"}
	for _, o := range []string{
		"StrictHostKeyChecking=yes",
		"UserKnownHostsFile=" + sshDir + "/known_hosts",
		"IdentityFile=" + clientKey,
		"IdentitiesOnly=yes",
		"PreferredAuthentications=" + string(auth),
		"NumberOfPasswordPrompts=1",
		"LogLevel=ERROR",
	} {
		options = append(options, "-o", o)
	}
	return options
}

func (s *Sshd) withPassword(line []string, auth Auth) *Command {
	c := s.h.Command(line...)
	if auth != PublicKey {
		c.Env("SSH_ASKPASS="+sshDir+"/askpass", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none")
	}
	return c
}
