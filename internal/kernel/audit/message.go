package audit

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Operation is what a record tells of.
type Operation string

// The values of Operation.
const (
	Open   Operation = "polyinst:open"   // the session got its view, or was refused it
	Rescue Operation = "polyinst:rescue" // admitted without private directories
)

// TextMax is the longest text in bytes. The kernel cuts at 8560
// (AUDIT_MESSAGE_TEXT_MAX), where the result would be lost.
const TextMax = 8192

// Polydir is a polydir and the instance that covers it.
type Polydir struct {
	Path     string
	Instance string // its path; its method where it has none, empty where there is none
}

// Message is one record.
type Message struct {
	Operation Operation
	Account   string
	Namespace uint64 // id of the mount namespace; 0: none was made
	Polydirs  []Polydir
	Reason    string // of a refusal: one word
	Service   string // of PAM
	HostPID   int
	Exe       string // of the host program
	Login     Login
	RHost     string
	TTY       string
	Success   bool
}

// Login is in whose name the kernel has a host: its loginuid, the number of its
// audit session (proc_pid_loginuid(5)) and its context. The zero one is that of
// whoever sends the record, which the kernel stamps by itself.
type Login struct {
	Known   bool
	UID     uint32
	Session uint32
	Context string // of SELinux or AppArmor, as which it acts
}

// String is the text. It ends with the result; what is too long is left out
// before that, and counted as more=N.
func (m Message) String() string {
	head := []string{"op=" + string(m.Operation), "acct=" + encode(m.Account)}
	if m.Namespace != 0 {
		head = append(head, "mntns="+strconv.FormatUint(m.Namespace, 10))
	}
	result := "failed"
	if m.Success {
		result = "success"
	}
	var tail []string
	if m.Reason != "" {
		tail = append(tail, "reason="+encode(m.Reason))
	}
	// the kernel adds the pid of the worker, which is gone by then
	tail = append(tail, "service="+encode(m.Service), "hostpid="+strconv.Itoa(m.HostPID))
	if m.Login.Known {
		tail = append(tail, "hostauid="+strconv.FormatUint(uint64(m.Login.UID), 10), "hostses="+strconv.FormatUint(uint64(m.Login.Session), 10))
	}
	if m.Login.Context != "" {
		tail = append(tail, "hostsubj="+encode(m.Login.Context))
	}
	tail = append(tail, "exe="+encode(m.Exe), "hostname="+encode(m.RHost), "addr=?",
		"terminal="+encode(m.TTY), "res="+result)

	used := len(strings.Join(head, " ")) + len(strings.Join(tail, " ")) + len(" more=4294967295 ")
	words := head
	for i, p := range m.Polydirs {
		pair := "dir=" + encodeUpTo(pathMax, p.Path)
		if p.Instance != "" {
			pair += " path=" + encodeUpTo(pathMax, p.Instance)
		}
		if used += 1 + len(pair); used > TextMax {
			words = append(words, "more="+strconv.Itoa(len(m.Polydirs)-i))
			break
		}
		words = append(words, pair)
	}
	return strings.Join(append(words, tail...), " ")
}

// Bounds of one value in bytes: a host may say anything for a terminal. A path that
// fills the record by itself is left out and counted.
const (
	valueMax = 512
	pathMax  = 4096
)

func encode(value string) string { return encodeUpTo(valueMax, value) }

// encodeUpTo is a value as libaudit's audit_encode_nv_string writes it: in double
// quotes, or in upper-case hexadecimal digits if a character in it could end the
// value or the message. An unknown value is "?".
func encodeUpTo(most int, value string) string {
	if value == "" {
		return "?"
	}
	value = value[:min(len(value), most)]
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == '"' || c == '\'' {
			return strings.ToUpper(hex.EncodeToString([]byte(value)))
		}
	}
	return `"` + value + `"`
}
