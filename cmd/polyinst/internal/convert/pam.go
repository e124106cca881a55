package convert

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
)

// The names of the two modules, as PAM lines have them behind a directory.
const (
	peerModule = "pam_namespace.so"
	ourModule  = "pam_polyinst.so"
)

// PAM converts the lines of a PAM file that use pam_namespace; everything else stays
// byte for byte. See pam.conf(5).
func PAM(src config.Source) Result {
	var b strings.Builder
	r := Result{}
	for _, l := range pamLines(src) {
		b.WriteString(l.converted())
		r.Remarks = append(r.Remarks, l.remarks...)
	}
	r.Text = b.String()
	return r
}

// PAMLines converts the lines that use pam_namespace and leaves out the others. Each
// one stands below a comment with its position and what it was.
func PAMLines(src config.Source) Result {
	var b strings.Builder
	r := Result{}
	for _, l := range pamLines(src) {
		if !l.ours {
			continue
		}
		fmt.Fprintf(&b, "# %s:%d: %s\n", printable(src.Name), l.number, printable(strings.TrimSpace(l.text)))
		b.WriteString(strings.TrimSuffix(l.converted(), "\n") + "\n")
		r.Remarks = append(r.Remarks, l.remarks...)
	}
	r.Text = b.String()
	return r
}

// LooksLikePAM tells a PAM file from a namespace.conf, whose lines begin with a
// path.
func LooksLikePAM(data []byte) bool {
	for _, l := range pamLines(config.Source{Data: data}) {
		if len(l.words) > 0 {
			return l.words[0].text == "@include" || l.kind() >= 0
		}
	}
	return false
}

// UsesPeer reports whether a line of a PAM file uses pam_namespace.
func UsesPeer(data []byte) bool {
	return slices.ContainsFunc(pamLines(config.Source{Data: data}), func(l *pamLine) bool { return l.ours })
}

// pamLine is a line with those that a backslash at the end joins to it.
type pamLine struct {
	file    string
	number  int
	text    string // as the file has it, with line ends
	words   []pamWord
	ours    bool   // to be converted: it uses pam_namespace
	edits   []edit // in the order of the text
	remarks []Remark
}

// pamWord is a word of a line: text[from:to] is how the file writes it.
type pamWord struct {
	text     string // without the brackets that may be around it
	from, to int
}

// edit replaces text[from:to].
type edit struct {
	from, to int
	with     string
}

func pamLines(src config.Source) []*pamLine {
	var list []*pamLine
	rest, number := string(src.Data), 1
	for rest != "" {
		l := &pamLine{file: src.Name, number: number}
		l.text, rest = cutLine(rest)
		number += strings.Count(l.text, "\n")
		l.words = pamWords(l.text)
		if m := l.module(); m >= 0 {
			l.ours = true
			l.convert(m)
		}
		list = append(list, l)
	}
	return list
}

// cutLine takes the first line off, with the lines that it goes on in. A
// comment goes to the end of its line, whatever stands there.
func cutLine(s string) (line, rest string) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '#':
			end := strings.IndexByte(s[i:], '\n')
			if end < 0 {
				return s, ""
			}
			return s[:i+end+1], s[i+end+1:]
		case s[i] == '\n' && (i == 0 || s[i-1] != '\\'):
			return s[:i+1], s[i+1:]
		}
	}
	return s, ""
}

// pamWords finds the words: separated by white space, where brackets keep it
// and a backslash keeps a closing bracket.
func pamWords(text string) []pamWord {
	var words []pamWord
	for i := 0; i < len(text) && text[i] != '#'; {
		switch {
		case isSpace(text[i]):
			i++
		case strings.HasPrefix(text[i:], "\\\n"):
			i += 2
		default:
			w := wordAt(text, i)
			words = append(words, w)
			i = w.to
		}
	}
	return words
}

func wordAt(text string, from int) pamWord {
	if text[from] == '[' {
		return bracketsAt(text, from)
	}
	to := from
	for to < len(text) && !isSpace(text[to]) && text[to] != '#' && !strings.HasPrefix(text[to:], "\\\n") {
		to++
	}
	return pamWord{text[from:to], from, to}
}

func bracketsAt(text string, from int) pamWord {
	var b strings.Builder
	i := from + 1
	for ; i < len(text) && text[i] != ']' && text[i] != '#'; i++ {
		if strings.HasPrefix(text[i:], `\]`) {
			i++
		}
		b.WriteByte(text[i])
	}
	return pamWord{b.String(), from, min(i+1, len(text))}
}

var pamTypes = []string{"auth", "account", "password", "session"}

// kind is the index of the word that says the type of the line: 0, or 1 in
// pam.conf where the name of the service stands before it; -1: there is none.
func (l *pamLine) kind() int {
	for i := 0; i < min(2, len(l.words)); i++ {
		if slices.Contains(pamTypes, strings.ToLower(strings.TrimPrefix(l.words[i].text, "-"))) {
			return i
		}
		if strings.ContainsAny(l.words[i].text, "/$") {
			return -1
		}
	}
	return -1
}

// module is the index of the word that names pam_namespace, or -1.
func (l *pamLine) module() int {
	k := l.kind()
	if k < 0 || len(l.words) <= k+2 {
		return -1
	}
	switch strings.ToLower(l.words[k+1].text) {
	case "include", "substack":
		return -1
	}
	path := l.words[k+2].text
	if path[strings.LastIndexByte(path, '/')+1:] != peerModule {
		return -1
	}
	return k + 2
}

func (l *pamLine) converted() string {
	text, shift := l.text, 0
	for _, e := range l.edits {
		text = text[:e.from+shift] + e.with + text[e.to+shift:]
		shift += len(e.with) - (e.to - e.from)
	}
	return text
}

func (l *pamLine) remark(format string, args ...any) {
	l.remarks = append(l.remarks, Remark{File: l.file, Line: l.number, Text: fmt.Sprintf(format, args...)})
}

// remove takes a word out, with the white space before it.
func (l *pamLine) remove(i int) {
	from := l.words[i].from
	for from > l.words[i-1].to && isSpace(l.text[from-1]) && l.text[from-1] != '\n' {
		from--
	}
	l.edits = append(l.edits, edit{from, l.words[i].to, ""})
}

func (l *pamLine) convert(module int) {
	w := l.words[module]
	at := w.from + strings.LastIndex(l.text[w.from:w.to], peerModule)
	l.edits = append(l.edits, edit{at, at + len(peerModule), ourModule})
	if strings.HasPrefix(w.text, "/") {
		l.remark("the line names the directory of pam_namespace's module: see that %s is there as well", ourModule)
	}
	if !strings.EqualFold(strings.TrimPrefix(l.words[l.kind()].text, "-"), "session") {
		l.remark("pam_namespace is a session module, and so are we: this line has no effect but an error")
	}
	for i := module + 1; i < len(l.words); i++ {
		l.argument(i, module)
	}
}

// argument converts one argument. Ours knows pam_namespace's words; what would be an
// error for ours is taken out where pam_namespace's meaning is clear.
func (l *pamLine) argument(i, module int) {
	word := l.words[i].text
	switch word {
	case "debug", "require_selinux", "gen_hash", "ignore_instance_parent_mode", "unmount_on_close", "use_current_context":
	case "use_default_context":
		if l.has(module, "use_current_context") {
			l.remark("use_default_context is taken out: beside use_current_context pam_namespace makes no use of it")
			l.remove(i)
		}
	case "unmnt_remnt", "unmnt_only":
		l.nested(i, module)
	case "mount_private":
		l.remark("mount_private is taken out: mounts of a session never leave it, and those of the host arrive, as with pam_namespace")
		l.remove(i)
	case "ignore_config_error":
		l.remark("ignore_config_error means config_error=last-good: a broken file never makes a session public; the last good configuration is used, which \"polyinst check --accept\" keeps")
	default:
		l.remarks = append(l.remarks, Remark{File: l.file, Line: l.number, Refused: true,
			Text: fmt.Sprintf("unknown argument %s: pam_namespace ignores it without a word, so what it was to do was never done: correct it, or take it out", quote(word))})
	}
}

// nested keeps the last of pam_namespace's two words for nested sessions, as it does.
func (l *pamLine) nested(i, module int) {
	last := i
	for j := module + 1; j < len(l.words); j++ {
		if w := l.words[j].text; w == "unmnt_remnt" || w == "unmnt_only" {
			last = j
		}
	}
	if l.words[i].text != l.words[last].text {
		l.remark("%s is taken out: pam_namespace uses the last one, %s", l.words[i].text, l.words[last].text)
		l.remove(i)
		return
	}
	meaning := map[string]string{
		"unmnt_remnt": "nested = \"replace\": the session is built from the host's view, and nothing is unmounted that is not ours",
		"unmnt_only":  "nested = \"escape\": the session gets the host's view, and nothing is unmounted that is not ours",
	}
	if i == last {
		l.remark("%s means %s", l.words[i].text, meaning[l.words[i].text])
	}
}

func (l *pamLine) has(module int, word string) bool {
	return slices.ContainsFunc(l.words[module+1:], func(w pamWord) bool { return w.text == word })
}
