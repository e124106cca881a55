// Package layout names what lies in an instance parent beside the instances of
// users. internal/instance says what each of these is, and works with them.
package layout

import (
	"fmt"
	"strings"
)

// Prefixes of names in an instance parent that are ours and no user's.
const (
	TmpdirPrefix = ".tmpdir."
	NewPrefix    = ".new."
	LockDir      = ".lock"
)

// Upper and Work are the directories of an instance in which an overlay's changes
// lie.
const (
	Upper = "upper"
	Work  = "work"
)

// TurnLock is the name of the lock, inside that of an instance, which a session
// holds while its init script runs.
const TurnLock = "turn"

// Temporary is what an instance, or its lock, is called until it is complete. The
// name is this session's own: random is plan.Machine.Random, in hexadecimal.
func Temporary(name, random string) string { return NewPrefix + name + "." + random }

// OfTemporary is whose temporary name an entry of an instance parent is. Version
// 0.1 had one for each instance, without the random part.
func OfTemporary(entry string) (name string, ok bool) {
	if name, ok = strings.CutPrefix(entry, NewPrefix); !ok {
		return entry, false
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i-1 >= randomMin && hexadecimal(name[i+1:]) {
		name = name[:i]
	}
	return name, true
}

// randomMin is how long that is at least.
const randomMin = 24

func hexadecimal(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// ProjectClaim is the name, among the locks of an instance parent, of what says
// that a project is taken there. No instance is called like that.
func ProjectClaim(id uint32) string { return fmt.Sprintf("%s.project.%d", LockDir, id) }

// Reserved are the beginnings of the names that are ours: neither a user's name
// nor an instance prefix may begin so.
var Reserved = []string{TmpdirPrefix, NewPrefix, LockDir}
