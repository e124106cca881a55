package main

import (
	"fmt"
	"log/syslog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

func watchCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "say when a running session loses a private directory",
		Long: `Watch runs until it is ended, and looks at what the live private namespaces
show whenever a mount in one of them changes. On its output and in the log it
says where a private directory has been taken off, or something else lies over
it: the processes there then work in another directory than their session was
opened with. Only root, and a user in a private home, can do that. Watch needs
Linux 6.15.`,
		Example: `  polyinst watch
  nohup polyinst watch >/dev/null      without systemd: the log tells
  systemctl enable polyinst-watch.service
  polyinst watch --output /var/lib/prometheus/node-exporter/polyinst-watch.prom`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("watch"); err != nil {
				return err
			}
			return watch(output)
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "keep numbers for Prometheus in `FILE`, as metrics does")
	return cmd
}

// How often watch looks, however much happens.
const (
	watchPause = 200 * time.Millisecond // at least between two looks
	watchShare = 10                     // of its time it looks for one part at most
	watchIdle  = time.Minute            // at the latest it looks again
	watchOften = 6                      // changes of one polydir that are told at once; others once in that time
)

func watch(output string) error {
	w, err := mntns.NewWatch()
	if mountinfo.IsUntold(err) {
		return fmt.Errorf("watch: this kernel, %s, tells nobody of the mounts of others (%w): Linux 6.15 does, to root; `polyinst list` shows what the sessions see when it is run", mntns.Kernel(), err)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	store, err := record.Open()
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.NotifyOf(w); err != nil {
		return err
	}
	seen, unwritten := watched{}, false
	for {
		began := time.Now()
		if err := seen.look(w, store); err != nil {
			return err
		}
		if stdout.err != nil {
			return nil // what is lost, run says: nobody reads on in vain
		}
		if output != "" {
			// that numbers cannot be written ends no watch: the file's time tells
			if err := replace(output, seen.metrics(), 0o644); (err != nil) != unwritten {
				if unwritten = err != nil; unwritten {
					tell("%s", words(err))
				}
			}
		}
		time.Sleep(max(watchPause, watchShare*time.Since(began)))
		if _, err := w.Wait(watchIdle); err != nil {
			return err
		}
	}
}

// watched are the namespaces that are watched, each with what is known of its polydirs,
// by their path.
type watched map[mntns.Identity]map[string]watching

// watching is what is known of a polydir.
type watching struct {
	lost  bool // the namespace does not show it
	told  bool // that it does not; else that it does, or nothing
	times int  // it was told
	last  time.Time
}

// tell notes what is seen now, and reports whether it is to be told: who can mount on
// their own home can have it change for ever.
func (p *watching) tell(lost bool, now time.Time) bool {
	p.lost = lost
	if lost == p.told || p.times >= watchOften && now.Sub(p.last) < watchIdle {
		return false
	}
	p.told, p.last = lost, now
	p.times++
	return true
}

// look adds the namespaces that are new, forgets those that have ended, and says
// what has changed in the others.
func (w watched) look(events mntns.Watch, store record.Store) error {
	all, err := live.Namespaces(store, nil)
	if err != nil {
		return err
	}
	added := false
	for _, n := range all {
		if _, known := w[n.Identity]; known {
			continue
		}
		ns, err := n.Open()
		if err != nil {
			continue // it has ended meanwhile
		}
		err = events.Namespace(ns)
		ns.Close()
		if err != nil {
			return err
		}
		w[n.Identity], added = map[string]watching{}, true
	}
	if added { // what happened before it was watched
		if all, err = live.Namespaces(store, nil); err != nil {
			return err
		}
	}
	maps.DeleteFunc(w, func(i mntns.Identity, _ map[string]watching) bool {
		return !slices.ContainsFunc(all, func(n live.Namespace) bool { return n.Identity == i })
	})
	for _, n := range all {
		polydirs, known := w[n.Identity]
		if !known {
			continue
		}
		for i, p := range n.Polydirs {
			seen := polydirs[p.Path]
			if seen.tell(!n.Covered[i], time.Now()) {
				w.say(n, p, seen.lost)
			}
			polydirs[p.Path] = seen
		}
	}
	return nil
}

func (watched) say(n live.Namespace, p record.Polydir, lost bool) {
	severity, what := syslog.LOG_NOTICE, "again"
	if lost {
		severity, what = syslog.LOG_ALERT, "no longer"
	}
	line := fmt.Sprintf("the session of %q (uid %d, %s) in mnt:[%d] %s has %q -> %s", n.User, n.UID, plain(n.Service), n.NS, what, p.Path, plain(p.Instance()))
	logged(severity, "%s", line)
	fmt.Fprintln(stdout, line)
}

// metrics are its numbers.
func (w watched) metrics() string {
	lost := 0
	for _, polydirs := range w {
		for _, p := range polydirs {
			if p.lost {
				lost++
			}
		}
	}
	one := func(name, help string, value float64) family {
		return family{name, help, map[string]float64{"": value}}
	}
	return text([]family{
		one("polyinst_watched_namespaces", "Live private namespaces that polyinst watch watches.", float64(len(w))),
		one("polyinst_watched_polydirs_lost", "Private directories that running sessions do not have any more; it should be 0.", float64(lost)),
		one("polyinst_watched_timestamp_seconds", "When polyinst watch last looked; it does so once a minute at least.", float64(time.Now().Unix())),
	})
}
