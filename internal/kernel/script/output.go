package script

import "bytes"

// The bounds of what is kept of a script's output: it goes to the log.
const (
	maxLines = 100
	maxLine  = 1000 // bytes
)

// output collects what a script writes, in lines.
type output struct {
	done []string
	line []byte // the last line, not ended yet
	open bool   // there is one
	cut  bool   // something was left out
}

// add takes what was read; a line may come in many parts.
func (o *output) add(b []byte) {
	for len(b) > 0 {
		part, rest, ended := bytes.Cut(b, []byte{'\n'})
		o.extend(part)
		if ended {
			o.end()
		}
		b = rest
	}
}

func (o *output) extend(part []byte) {
	o.open = true
	room := maxLine - len(o.line)
	if len(part) > room {
		part, o.cut = part[:room], true
	}
	o.line = append(o.line, part...)
}

func (o *output) end() {
	if len(o.done) < maxLines {
		o.done = append(o.done, string(o.line))
	} else {
		o.cut = true
	}
	o.line, o.open = o.line[:0], false
}

// lines is what was collected, with a last line that was not ended.
func (o *output) lines() []string {
	if o.open {
		o.end()
	}
	return o.done
}
