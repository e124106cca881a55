package pamstack

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// daemon is a program whose own configuration says whether it opens sessions,
// and that does something which a session of ours does not go with.
type daemon struct {
	service  string
	opens    func(line string) bool // of its configuration: it opens sessions
	confined bool                   // only where root cannot raise hard limits
	why      string                 // what becomes of them, and the way out
}

var daemons = []daemon{
	{
		"vsftpd", func(line string) bool {
			value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(line)), "session_support=")
			return ok && slices.Contains([]string{"yes", "true", "1"}, value)
		}, true,
		"vsftpd gives itself 200 MB of address space, the module's worker needs 900 MB, and root cannot raise that here (no CAP_SYS_RESOURCE): each session is refused: no setting of vsftpd's helps; take session_support out, or serve files by sftp",
	},
	{
		"dovecot", func(line string) bool {
			line, _, _ = strings.Cut(line, "#")
			// in the arguments of a passdb, or from 2.4 on passdb_pam_session = yes
			return strings.Contains(strings.Join(strings.Fields(line), ""), "session=yes")
		}, false,
		"dovecot's auth process opens the session, and the mail processes are not started by it: they see the public directories: take session=yes out",
	},
}

// daemon judges a service by the configuration of its program.
func (k *checker) daemon(service string, us Entry) {
	if pos, why := withoutSessions(service, k.Daemons); why != "" {
		k.passed(pos, service, "%s", why)
	}
	for _, d := range daemons {
		if d.service != service || d.confined && !k.Confined {
			continue
		}
		for _, f := range k.Daemons[service] {
			for i, line := range strings.Split(string(f.Data), "\n") {
				if d.opens(line) {
					k.add(us.Pos, Warning, service, "service %q: %s: %s", service, Pos{f.Path, i + 1}, d.why)
					return
				}
			}
		}
	}
}

// withoutSessions says where the configuration of a service's program has it that
// the program opens no sessions, and what to write; empty: it opens them, or nobody
// has looked.
func withoutSessions(service string, daemons map[string][]File) (Pos, string) {
	if files := daemons[service]; service == sshd && len(files) > 0 {
		if uses, pos := usesPAM(files); !uses {
			return pos, "UsePAM is not \"yes\": sshd opens no session through libpam, and users get the public directories: write \"UsePAM yes\", and let sshd read it anew"
		}
	}
	return Pos{}, ""
}

const sshd = "sshd"

// sshDir is where sshd looks for what an Include names without its directory.
const sshDir = "/etc/ssh"

// usesPAM reports whether sshd opens PAM sessions (sshd_config(5)), by the first of
// the files, which includes others of them. The first value that it meets counts,
// and none means no. pos is where it stands, or the first file as a whole.
func usesPAM(files []File) (uses bool, pos Pos) {
	if value, pos, said := sshValue(files, files[0], nil); said {
		return strings.EqualFold(value, "yes"), pos
	}
	return false, Pos{File: files[0].Path}
}

func sshValue(files []File, f File, way []string) (value string, pos Pos, said bool) {
	if slices.Contains(way, f.Path) {
		return "", Pos{}, false
	}
	for i, text := range strings.Split(string(f.Data), "\n") {
		key, args := sshLine(text)
		switch {
		case key == "usepam" && len(args) > 0:
			return args[0], Pos{f.Path, i + 1}, true
		case key == "match":
			return "", Pos{}, false // what follows is of some connections, for which UsePAM cannot be set
		case key == "include":
			for _, pattern := range args {
				for _, other := range files {
					if ok, _ := path.Match(InSSHDir(pattern), other.Path); !ok {
						continue
					}
					if value, pos, said := sshValue(files, other, append(way, f.Path)); said {
						return value, pos, true
					}
				}
			}
		}
	}
	return "", Pos{}, false
}

// sshLine takes a line of sshd_config apart: the key in lower case, and its words.
func sshLine(text string) (key string, args []string) {
	text, _, _ = strings.Cut(text, "#")
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '=' }) {
		if unquoted, err := strconv.Unquote(w); err == nil {
			w = unquoted
		}
		if key == "" {
			key = strings.ToLower(w)
		} else {
			args = append(args, w)
		}
	}
	return key, args
}

// InSSHDir is the pattern of an Include as a path.
func InSSHDir(pattern string) string {
	if path.IsAbs(pattern) {
		return pattern
	}
	return path.Join(sshDir, pattern)
}

// SSHIncludes are the patterns of files that a file of sshd_config(5) includes, as
// paths.
func SSHIncludes(f File) []string {
	var out []string
	for text := range strings.Lines(string(f.Data)) {
		if key, args := sshLine(strings.TrimSuffix(text, "\n")); key == "include" {
			for _, pattern := range args {
				out = append(out, InSSHDir(pattern))
			}
		}
	}
	return out
}
