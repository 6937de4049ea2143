//! The Node.js binding: conversion between JavaScript and the sandbox crate, no policy.
