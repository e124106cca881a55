package plan

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
)

// An administrator does what a message advises: the command must do no harm, also
// if they did not mean what the configuration says.

// ownParents is where directories are instance parents and nothing else.
const ownParents = "/var/lib/polyinst"

// ParentRepair is the way out where the instance parent of a polydir is there, and
// not as it must be: a command that puts it right; for a directory that serves
// others as well, another place. home is the session user's, empty for nobody's. movable
// says that somebody but root can rename what is on the way to it: by the time that
// somebody obeys, it may be a link to what is another's. instance says that the
// directory is an instance in another parent: with a user's files.
func ParentRepair(p *config.Polydir, parent, home string, movable, instance bool, command string) string {
	command += " " + shellword.Quote(parent)
	slash := SlashMissing(p)
	switch {
	case slash != "":
		return slash
	case instance:
		return "it is itself an instance, with a user's files: " + elsewhere
	case strings.HasPrefix(parent, ownParents+"/") && !movable:
		return command
	case servesOthers(parent, home):
		return "it serves others, too: " + elsewhere
	case movable:
		return LookAndMove
	}
	return command + ", if nothing but instances is in it, else use a place below /var/lib/polyinst"
}

// LookAndMove is the way out where no command by name would be safe: a session makes
// a new parent in a home, and a new instance.
const LookAndMove = "look at it and move it away"

// servesOthers reports whether a directory is none that is made for instances
// alone, by its name.
func servesOthers(dir, home string) bool {
	parts := strings.Split(strings.Trim(dir, "/"), "/")
	switch {
	case len(parts) == 1, dir == ownParents, config.CheckPolydirPath(dir, "") != nil:
		return true
	case home == dir, strings.HasPrefix(home, dir+"/"):
		return true
	}
	return len(parts) == 2 && (parts[0] == "var" || parts[0] == "usr" || parts[0] == "home")
}

// shuts is the way out where others can change a directory on the way to a polydir or
// source. Instead of one that the session's user can rename, a link can be there by the
// time that root obeys.
func (s Subject) shuts(swap Swap, movable bool) string {
	switch {
	case movable:
		return fmt.Sprintf("its owner is to change that, not root: uid %d can put a link in its place", s.UID)
	case swap.UID == s.UID:
		return "its owner is to change that"
	}
	return "make that directory root's, or give it the sticky bit"
}

const elsewhere = "use a place below " + ownParents

// BetterParent says what to do if others can change dir, a directory on the way to the
// instance parent.
func BetterParent(dir string) string {
	if strings.HasPrefix(ownParents+"/", strings.TrimSuffix(dir, "/")+"/") || strings.HasPrefix(dir, ownParents+"/") {
		return "make that directory root's, and writable by nobody else"
	}
	return elsewhere
}

// SlashMissing says that an instance prefix has perhaps lost the slash at its end,
// by its looks: a name that ends in a letter or digit stands behind the parent.
// Empty: it has not.
func SlashMissing(p *config.Polydir) string {
	prefix := string(p.Prefix)
	name := prefix[strings.LastIndexByte(prefix, '/')+1:]
	if name == "" || strings.Contains(name, "$") {
		return ""
	}
	c := name[len(name)-1] | 0x20
	if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
		return ""
	}
	return fmt.Sprintf("without a \"/\" at the end of instance_prefix, %q only begins the names of instances in %q: did you mean %q?",
		name, string(p.Prefix.Parent()), prefix+"/")
}

// NameTwice says that the last part of an instance prefix has the user in it, who
// is added to it in any case. Empty: it has not.
func NameTwice(p *config.Polydir) string {
	prefix := string(p.Prefix)
	slash := strings.LastIndexByte(prefix, '/')
	name := prefix[slash+1:]
	if p.Shared || p.Fresh() || !strings.Contains(name, "$USER") && !strings.Contains(name, "$UID") {
		return ""
	}
	return fmt.Sprintf("instance_prefix: the user is added behind %q in any case: did you mean %q?", name, prefix[:slash+1])
}
