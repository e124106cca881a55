package main

import (
	"crypto/rand"
	"encoding/hex"
	"log/syslog"

	"pam_polyinst/internal/kernel/dirfd"
)

// rollBack takes back what nobody has confirmed.
func (k *keeper) rollBack(why string) error {
	names := k.waitingNames()
	if len(names) == 0 {
		return nil
	}
	err := k.restore(names, func(what string) { logged(syslog.LOG_WARNING, "taken back, %s: %s", why, what) })
	if err != nil {
		logged(syslog.LOG_ALERT, "what enable has changed could not be taken back: %v", err)
	}
	return err
}

// rollBackLost takes back what is to be confirmed and nobody waits for any more:
// the machine has been started anew, or the process that waited was killed.
func (k *keeper) rollBackLost() (took []string, err error) {
	if k.note.Waits == nil || waiterLives() {
		return nil, nil
	}
	took = k.waitingNames()
	return took, k.rollBack("nobody has confirmed it before the machine or the process that waited ended")
}

// waiterLives reports whether a process waits to take a change back.
func waiterLives() bool {
	lock, err := openLock(rollbackLock)
	if err != nil {
		return false
	}
	defer lock.Close()
	free, err := lock.TryLock(dirfd.Exclusive)
	return err == nil && !free
}

func newID() string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // which never fails: crypto/rand
	return hex.EncodeToString(random[:])
}
