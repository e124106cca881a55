package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/dirfd"
)

// hostPrefix marks the note about a thread that has sessions open.
const hostPrefix = "host."

// Host notes that a thread of a host process has sessions open. A thread stands
// in one view at a time, so that they can only be of one user.
type Host struct {
	Thread int    // its id, which is used again after its end
	Start  uint64 // its start, as mntns.ThreadStart tells it: tells reused ids apart
	UID    uint32
	User   string // PAM_USER, as the host said it
	Open   int    // how often open_session succeeded without a close_session since
}

// ReadHost is the note about a thread; nil if there is none, or if it is about
// another thread that had the same id.
func (s Store) ReadHost(thread int, start uint64) (*Host, error) {
	name := hostPrefix + strconv.Itoa(thread)
	raw, err := s.contentOf(s.dir, name)
	if raw == nil || err != nil {
		return nil, err
	}
	var h Host
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", s.dir.Path(), name, err)
	}
	if h.Thread != thread || h.Start != start {
		return nil, nil
	}
	return &h, nil
}

// WriteHost keeps a note; one with no session open is removed. Only the thread
// itself, which waits for the writer, has a note about it changed.
func (s Store) WriteHost(h Host) error {
	name := hostPrefix + strconv.Itoa(h.Thread)
	if h.Open <= 0 {
		return s.RemoveNamed(name)
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.dir.WriteFile(name, raw)
}

// ForgetHosts removes the notes about threads that have ended: those of which
// start tells another start, or 0 for none.
func (s Store) ForgetHosts(start func(thread int) uint64) error {
	names, err := s.dir.Names()
	for _, name := range names {
		text, is := strings.CutPrefix(name, hostPrefix)
		thread, notNumber := strconv.Atoi(text)
		if !is || notNumber != nil {
			continue
		}
		h, bad := s.ReadHost(thread, start(thread))
		if bad == nil && h == nil {
			bad = s.RemoveNamed(name)
		}
		if !dirfd.IsNotExist(bad) {
			err = errors.Join(err, bad)
		}
	}
	return err
}
