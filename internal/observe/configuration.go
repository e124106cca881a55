package observe

import (
	"bytes"
	"fmt"
	"slices"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
)

// Configuration is what a session goes by.
type Configuration struct {
	Config   *config.Config  // nil: there is none, and sessions are refused
	Files    Files           // those of the machine, as far as they could be read
	Err      error           // why they cannot be read
	Problems config.Problems // of what they say
	UsesGood bool            // Config is the one that was accepted last
	GoodErr  error           // why that one cannot be used

	good      *config.Config
	goodFiles Files
}

// Broken reports whether the files of the machine are no configuration.
func (c Configuration) Broken() bool { return c.Err != nil || len(c.Problems) > 0 }

// Load reads and checks the configuration as the PAM line names it. Instead
// of a broken one it takes the last good one of the same main file, if the line
// says so.
func Load(args config.Args) Configuration {
	var c Configuration
	if c.Files, c.Err = ConfigFiles(args.Conf, true); c.Err == nil {
		if c.Config, c.Problems = parse(c.Files); !c.Broken() {
			return c
		}
	}
	c.Err = NoConfiguration(c.Err, args.Conf)
	c.readGood()
	if args.LastGood && c.good != nil {
		c.Config, c.UsesGood = c.good, true
	}
	return c
}

// parsed is the configuration that was read last and has no problem: a ready worker
// reads the files for each session, and mostly the same. What is in them says which it
// is, byte for byte, not when they were changed. Nobody changes a Config.
var parsed struct {
	Files
	config *config.Config
}

func parse(files Files) (*config.Config, config.Problems) {
	if parsed.config != nil && slices.EqualFunc(parsed.All(), files.All(), func(a, b config.Source) bool {
		return a.Name == b.Name && bytes.Equal(a.Data, b.Data)
	}) {
		return parsed.config, nil
	}
	c, problems := config.Parse(files.Main, files.Dropins)
	parsed.Files, parsed.config = files, c // nil with a problem
	return c, problems
}

// NoConfiguration is why there is no configuration, in words for a beginner where
// none was written yet; conf is the main file, empty for the default one.
func NoConfiguration(err error, conf string) error {
	if dirfd.IsNotExist(err) && conf == "" {
		return fmt.Errorf("there is no configuration: %s/%s does not exist: begin with `polyinst edit`, or with `polyinst convert` if this machine uses pam_namespace", ConfigDir, mainFile)
	}
	return err
}

func (c *Configuration) readGood() {
	if c.goodFiles, c.GoodErr = LastGood(c.Files.Main.Name); c.GoodErr != nil {
		return
	}
	good, problems := config.Parse(c.goodFiles.Main, c.goodFiles.Dropins)
	if len(problems) > 0 {
		c.GoodErr = problems[0]
		return
	}
	c.good = good
}

// Rescue says who is admitted in spite of a refusal.
func (c Configuration) Rescue(args config.Args) plan.Rescue {
	if c.Config != nil {
		return plan.RescueOf(c.Config, args)
	}
	return plan.RescueOfBroken(config.RescueOf(c.Files.Main), c.accepted(), args)
}

// accepted is the rescue list of the last good configuration; nil: there is
// none.
func (c Configuration) accepted() *config.UserList {
	if c.good == nil {
		return nil
	}
	return &c.good.Namespace.Rescue
}

// MayNameContexts reports whether a polydir of a broken configuration could be
// by level or context, of what is known of it.
func (c Configuration) MayNameContexts() bool {
	return config.MayNameContexts(append(c.Files.All(), c.goodFiles.All()...))
}

// AcceptedRescue is the rescue list of the last good configuration of a main
// file; nil: there is none.
func AcceptedRescue(main string) *config.UserList {
	c := Configuration{Files: Files{Main: config.Source{Name: main}}}
	c.readGood()
	return c.accepted()
}
