//! Development only: gates and fixtures for the tests.
