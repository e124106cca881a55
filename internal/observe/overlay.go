package observe

import (
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
)

// overlay looks whether the kernel can lay an overlay over the polydir, with its
// changes in the instance parent.
func overlay(scene *Scene, rule plan.Rule) {
	if rule.Config.Method != config.MethodOverlay {
		return
	}
	f := &scene.Facts
	if err := mountfd.OverlaySupported(); err != nil {
		f.OverlayProblem = scene.problem(err)
		return
	}
	if base := scene.Polydir.Dir; base.IsOpen() {
		has, err := mountfd.HasHandles(base)
		switch {
		case err != nil:
			f.OverlayProblem = scene.problem(err)
		case !has:
			f.BaseProblem = "lies on a filesystem without file handles, by which the kernel knows it again"
		}
	}
	dir := parentDir(scene)
	if !dir.IsOpen() {
		return // the parent's own refusal comes first, or there is none
	}
	on, err := mountfd.OnOverlay(dir)
	has := false
	if err == nil {
		has, err = mountfd.HasHandles(dir)
	}
	switch {
	case err != nil:
		f.UpperProblem = scene.problem(err)
	case on:
		f.UpperProblem = "lies on an overlay itself, which cannot hold another one's changes"
	case !has && !rule.Config.DropChanges:
		f.UpperProblem = "lies on a filesystem without file handles, by which the kernel knows the changes again"
	}
}

// layers looks whether an existing instance has what an overlay's changes lie in.
func layers(scene *Scene, rule plan.Rule) {
	if rule.Config.Method != config.MethodOverlay || !scene.Facts.Instance.Exists {
		return
	}
	l, err := instance.OpenLayers(scene.Instance)
	if err != nil {
		scene.Facts.LayersProblem = problem(err)
		return
	}
	l.Close()
}

// parentDir is the instance parent, or the directory in which it will be made.
func parentDir(scene *Scene) dirfd.Dir {
	if scene.Parent.Missing {
		return scene.Parent.Parent
	}
	return scene.Parent.Dir
}
