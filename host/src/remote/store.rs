//! Stub.
use crate::config::{LockMode, Remote};
use crate::error::Result;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
#[derive(Debug)]
pub struct Store;
#[derive(Debug, Clone)]
pub struct Object {
    pub key: String,
    pub size: u64,
}
#[derive(Debug, Clone)]
pub struct Version {
    pub id: String,
    pub size: u64,
    pub is_delete_marker: bool,
}
#[derive(Debug, Clone, PartialEq)]
pub struct Until {
    pub mode: LockMode,
    pub date: DateTime<Utc>,
}
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    pub upload_id: Option<String>,
}
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub upload_id: String,
}
#[derive(Debug)]
pub struct Uploaded;
impl Store {
    pub fn open(_: &Remote) -> Result<Self> {
        todo!()
    }
    pub fn list(&self, _: &str) -> Result<Vec<Object>> {
        todo!()
    }
    pub fn head(&self, _: &str) -> Result<Option<Object>> {
        todo!()
    }
    pub fn get(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>> {
        todo!()
    }
    pub fn get_version(&self, _: &str, _: &str, _: u64) -> Result<Option<Vec<u8>>> {
        todo!()
    }
    pub fn put_new(&self, _: &str, _: &[u8], _: Option<&Until>) -> Result<bool> {
        todo!()
    }
    pub fn put(&self, _: &str, _: &[u8], _: Option<&Until>) -> Result<()> {
        todo!()
    }
    pub fn download(
        &self,
        _: &str,
        _: Option<&str>,
        _: &mut dyn Write,
        _: &dyn Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        todo!()
    }
    pub fn upload(
        &self,
        _: &str,
        _: &File,
        _: u64,
        _: Option<&Until>,
        _: &mut Upload,
        _: &mut dyn FnMut(&Upload) -> Result<()>,
        _: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Uploaded> {
        todo!()
    }
    pub fn delete(&self, _: &str) -> Result<()> {
        todo!()
    }
    pub fn versions(&self, _: &str) -> Result<Vec<Version>> {
        todo!()
    }
    pub fn lock_of(&self, _: &str, _: Option<&str>) -> Result<Option<Until>> {
        todo!()
    }
    pub fn unfinished(&self, _: &str) -> Result<Vec<Unfinished>> {
        todo!()
    }
    pub fn abort(&self, _: &Unfinished) -> Result<()> {
        todo!()
    }
}
