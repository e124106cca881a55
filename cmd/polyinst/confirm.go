package main

import (
	"errors"
	"fmt"
	"log/syslog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/kernel/dirfd"
)

func confirmCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "keep what enable has changed",
		Long: `Confirm says that logging in works: what "polyinst enable" has changed stays.
Without it, the files are as before again after 60 s.`,
		Example: `  polyinst confirm
  polyinst status         what is to be confirmed, and until when
  polyinst disable sshd   no: take it back now`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("confirm"); err != nil {
				return err
			}
			return confirm()
		},
	}
	quietFlag(cmd)
	return cmd
}

func confirm() error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	waits := k.waitingNames()
	switch {
	case len(waits) == 0 && len(k.note.Files) == 0:
		return errors.New("nothing is to be confirmed: what nobody confirms in time is taken back; `polyinst enable` once more")
	case len(waits) == 0:
		fmt.Fprintf(stdout, "nothing is to be confirmed: %s\n", "all that is enabled was confirmed")
		return nil
	}
	for i := range k.note.Files {
		k.note.Files[i].Waits = false
	}
	k.note.Waits = nil
	if err := program.Undisturbed(k.save); err != nil {
		return err
	}
	list := strings.Join(waits, ", ")
	logged(syslog.LOG_NOTICE, "confirmed: %s", list)
	fmt.Fprintf(stdout, "confirmed: %s\n", list)
	return nil
}

// rollbackCommand waits until what enable has changed is confirmed, and takes it
// back if it is not. It is started by enable, and no command of anybody's.
func rollbackCommand() *cobra.Command {
	var after time.Duration
	cmd := &cobra.Command{
		Use:    "rollback ID",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needUID0("rollback"); err != nil {
				return err
			}
			return rollback(args[0], after)
		},
	}
	cmd.Flags().DurationVar(&after, "after", time.Minute, "")
	return cmd
}

// glance is how often the waiting process looks whether somebody has confirmed.
const glance = time.Second

// rollback takes a change back when its time is over, or at once when the machine
// is shut down. It holds a lock meanwhile, by which others see that it lives.
func rollback(id string, after time.Duration) error {
	asked := program.Outlive()
	lock, err := openLock(rollbackLock)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lock.Lock(dirfd.Exclusive); err != nil {
		return err
	}
	why := fmt.Sprintf("nobody has confirmed it within %v", after)
	over := time.After(after)
	look := time.NewTicker(min(glance, after))
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case <-asked:
			waiting, why = false, "the machine or its service is stopped before anybody has confirmed it"
		case <-look.C:
			if n, err := readNote(); err == nil && !n.waitsFor(id) {
				return nil
			}
		}
	}
	k, err := keep(true)
	if err != nil {
		logged(syslog.LOG_ALERT, "what enable has changed cannot be taken back: %v", err)
		return err
	}
	defer k.close()
	if !k.note.waitsFor(id) {
		return nil
	}
	return k.rollBack(why)
}

func (n note) waitsFor(id string) bool { return n.Waits != nil && n.Waits.ID == id }
