package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"log/syslog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/observe"
)

// write changes the files, and sees that they are changed back.
func (e *enabling) write() error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	if k.note.Waits != nil {
		return toConfirm(k.waitingNames())
	}
	if now, err := observe.ConfigFiles(e.conf, true); err != nil || !sameFiles(now, e.files) {
		return errors.Join(err, fmt.Errorf("%s: it was changed meanwhile", e.files.Main.Name))
	}
	var waits *waiting
	begin := func() error { return nil }
	if !e.noConfirm {
		waits = &waiting{newID(), time.Now().Add(e.within)}
		begin = func() error { return startWaiter(waits.ID, e.within) }
	}
	if err := program.Undisturbed(func() error { return k.write(e.changes, waits, begin) }); err != nil {
		return err
	}
	list := strings.Join(names(e.changes), ", ")
	k.close() // a reader who is slow keeps nobody waiting
	logged(syslog.LOG_NOTICE, "enabled: %s", list)
	fmt.Fprintf(stdout, "enabled: %s\n", list)
	if waits != nil {
		sayUntil(*waits)
	}
	return nil
}

func sayUntil(w waiting) {
	fmt.Fprintf(stdout, "log in anew, and if that works: polyinst confirm; if nobody does, the files are as before again at %s\n", w.Until.Format(time.TimeOnly))
}

func sameFiles(a, b observe.Files) bool {
	return slices.EqualFunc(a.All(), b.All(), func(x, y config.Source) bool {
		return x.Name == y.Name && bytes.Equal(x.Data, y.Data)
	})
}

// toConfirm refuses a change because of one that waits.
func toConfirm(waiting []string) error {
	return fmt.Errorf("an earlier change is to be confirmed first, of %s: `polyinst confirm`, or `polyinst disable %s`", strings.Join(waiting, ", "), shellword.QuoteAll(waiting))
}

func (k *keeper) waitingNames() []string {
	var out []string
	for _, f := range k.note.Files {
		if f.Waits {
			out = append(out, f.Name)
		}
	}
	return out
}

// sayTakenBack takes back what nobody waits for any more, and says so.
func sayTakenBack(k *keeper) error {
	took, err := k.rollBackLost()
	if len(took) > 0 && err == nil {
		tell("%s was enabled and never confirmed: it is taken back", strings.Join(took, ", "))
	}
	return err
}

// startWaiter starts the process that takes the change back unless somebody
// confirms it, and sees that it lives. Under systemd it is a unit of its own: the
// end of the session that this process is in ends the session's processes.
func startWaiter(id string, within time.Duration) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"rollback", id, "--after", within.String()}
	if absent("/run/systemd/system") { // sd_booted(3)
		err = program.Detach(own, args, plainEnv())
	} else {
		unit := append([]string{"--quiet", "--no-ask-password", "--collect", "--unit=polyinst-rollback-" + id,
			"--description=Taking back what polyinst enable has changed", "--", own}, args...)
		var out []byte
		if out, err = exec.Command("systemd-run", unit...).CombinedOutput(); err != nil {
			err = fmt.Errorf("systemd-run: %s", cmp.Or(strings.TrimSpace(string(out)), err.Error()))
		}
	}
	const pause = 10 * time.Millisecond
	for until := time.Now().Add(patient); err == nil && !waiterLives(); time.Sleep(pause) {
		if time.Now().After(until) {
			err = errors.New("it did not begin")
		}
	}
	if err != nil {
		return fmt.Errorf("the process that takes the change back: %w: nothing is changed; --no-confirm does without it", err)
	}
	return nil
}
