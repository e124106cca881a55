package host

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// The story in the disposable host and the test outside talk over two pipes:
// the story says that it ran or was skipped, and asks for programs to be built
// (outside, where the build caches are).
const (
	requestFD = 3
	replyFD   = 4
)

type request struct {
	Ran     bool   `json:",omitempty"`
	Skipped string `json:",omitempty"`
	Build   string `json:",omitempty"`
	File    string `json:",omitempty"` // of the checkout; Text is what it should be
	Text    string `json:",omitempty"`
}

type reply struct {
	Path  string
	Error string
}

// verdict is what the outer test learns about the story beside its exit status.
type verdict struct {
	ran     bool
	skipped string
}

// serve answers the story until it closes its end.
func serve(requests io.Reader, replies io.Writer, v *verdict) {
	in, out := json.NewDecoder(requests), json.NewEncoder(replies)
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			return
		}
		switch {
		case r.Ran:
			v.ran = true
		case r.Skipped != "":
			v.skipped = r.Skipped
		case r.File != "" && os.Getenv("UPDATE") == "1":
			_ = os.WriteFile(filepath.Join(checkout(), r.File), []byte(r.Text), 0o644)
		case r.Build != "":
			var answer reply
			path, err := build(r.Build)
			if err != nil {
				answer.Error = err.Error()
			}
			answer.Path = path
			if out.Encode(answer) != nil {
				return
			}
		}
	}
}

// control is the story's end.
type control struct {
	mu  sync.Mutex
	in  *json.Decoder
	out *json.Encoder
}

func newControl() *control {
	unix.CloseOnExec(requestFD)
	unix.CloseOnExec(replyFD)
	return &control{
		in:  json.NewDecoder(os.NewFile(replyFD, "replies")),
		out: json.NewEncoder(os.NewFile(requestFD, "requests")),
	}
}

func (c *control) tell(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(r)
}

func (c *control) build(name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.out.Encode(request{Build: name}); err != nil {
		return "", err
	}
	var r reply
	if err := c.in.Decode(&r); err != nil {
		return "", err
	}
	if r.Error != "" {
		return "", errors.New(r.Error)
	}
	return r.Path, nil
}
