package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Password is the password of every account that the stories make, and its
// hash. It is weak and cheap on purpose.
const (
	Password     = "open sesame"
	passwordHash = "$6$rounds=1000$polyinst$TagqGfzVId4upoepk7lzXzlw8fLmeCyAzSvgJ0ILEc7uGrG0k8qpOyTxFldgHoUhvKxqaRK1tISZLjItC7rtC."
)

// User is an account. AddUser fills in what is left empty.
type User struct {
	Name     string
	UID, GID int      // the next free number; the group is the user's own
	Groups   []string // supplementary
	Home     string   // /home/NAME, made with mode 0700
	Shell    string   // /bin/bash
}

// AddUser adds an account whose password is Password.
func (h *Host) AddUser(name string, with ...User) User {
	h.T.Helper()
	u := User{}
	if len(with) > 0 {
		u = with[0]
	}
	u.Name = name
	if u.UID == 0 {
		h.nextID++
		u.UID = h.nextID
	}
	if u.GID == 0 {
		u.GID = u.UID
		h.appendLine("/etc/group", fmt.Sprintf("%s:x:%d:", name, u.GID))
	}
	if u.Home == "" {
		u.Home = "/home/" + name
	}
	if u.Shell == "" {
		u.Shell = "/bin/bash"
	}
	h.appendLine("/etc/passwd", fmt.Sprintf("%s:x:%d:%d::%s:%s", name, u.UID, u.GID, u.Home, u.Shell))
	h.appendLine("/etc/shadow", fmt.Sprintf("%s:%s:19000:0:99999:7:::", name, passwordHash))
	for _, g := range u.Groups {
		h.join(g, name)
	}
	if !h.Exists(u.Home) {
		h.check(os.MkdirAll(filepath.Dir(u.Home), 0o755))
		h.Mkdir(u.Home, 0o700, u.UID, u.GID)
	}
	return u
}

// Directory is a source of accounts, "liar" in nsswitch.conf(5), which says what
// it is told: tests/chosts/libnss_liar.c.
type Directory struct{ h *Host }

// Directory has passwd and group ask the source behind files.
func (h *Host) Directory() Directory {
	h.T.Helper()
	h.AddSource(h.Built("libnss_liar"), "liar")
	return Directory{h}
}

// AddSource installs a module of NSS, unless from is empty, and has passwd and
// group ask it behind files.
func (h *Host) AddSource(from, name string) {
	h.T.Helper()
	if from != "" {
		h.MustRun("cp", from, filepath.Join(filepath.Dir(pamDir()), "libnss_"+name+".so.2"))
	}
	h.WriteFile("/etc/nsswitch.conf", "passwd: files "+name+"\ngroup: files "+name+"\n")
}

// Says sets what the source holds and how it answers, a line each:
//
//	user NAME UID GID HOME
//	group NAME GID
//	member USER GID
//	say FUNCTION STATUS ERRNO    getpwnam, getpwuid, getgrnam or initgroups
func (d Directory) Says(lines ...string) {
	d.h.T.Helper()
	d.h.WriteFile("/run/nss-liar", strings.Join(lines, "\n")+"\n")
}

// AddGroup adds a group with these members and returns its number.
func (h *Host) AddGroup(name string, members ...string) int {
	h.T.Helper()
	h.nextID++
	h.appendLine("/etc/group", fmt.Sprintf("%s:x:%d:%s", name, h.nextID, strings.Join(members, ",")))
	return h.nextID
}

// RemoveUser takes an account away; its home stays.
func (h *Host) RemoveUser(name string) {
	h.T.Helper()
	for _, file := range []string{"/etc/passwd", "/etc/shadow"} {
		h.editLines(file, func(line string) (string, bool) {
			return line, !strings.HasPrefix(line, name+":")
		})
	}
}

// join makes a user a member of a group, which is added if it is not there.
func (h *Host) join(group, user string) {
	h.T.Helper()
	found := false
	h.editLines("/etc/group", func(line string) (string, bool) {
		if !strings.HasPrefix(line, group+":") {
			return line, true
		}
		found = true
		if !strings.HasSuffix(line, ":") {
			line += ","
		}
		return line + user, true
	})
	if !found {
		h.AddGroup(group, user)
	}
}

func (h *Host) appendLine(file, line string) {
	h.T.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	h.check(err)
	_, err = f.WriteString(line + "\n")
	h.check(err)
	h.check(f.Close())
}

func (h *Host) editLines(file string, edit func(string) (string, bool)) {
	h.T.Helper()
	var out strings.Builder
	for line := range strings.Lines(h.ReadFile(file)) {
		if edited, keep := edit(strings.TrimSuffix(line, "\n")); keep {
			out.WriteString(edited + "\n")
		}
	}
	h.check(os.WriteFile(file, []byte(out.String()), 0)) // keeps mode and owner
}

// groupsOf are the numbers of a user's supplementary groups.
func (h *Host) groupsOf(u User) []uint32 {
	h.T.Helper()
	var ids []uint32
	for line := range strings.Lines(h.ReadFile("/etc/group")) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 4 || !slices.Contains(u.Groups, fields[0]) {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		h.check(err)
		ids = append(ids, uint32(id))
	}
	return ids
}
