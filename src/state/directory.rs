//! The local state directory (placeholder until the real one is merged).
use crate::{error::{Error, Result}, record::{Incarnation, InstanceId}};
use std::path::{Path, PathBuf};
/// dir
pub struct StateDirectory { path: PathBuf, instance: InstanceId, incarnation: Incarnation }
impl StateDirectory {
    /// open
    pub fn open(dir: &Path, app: &str, instance: Option<&str>) -> Result<Self> {
        let path = dir.join(app);
        std::fs::create_dir_all(&path).map_err(Error::io(path.display().to_string()))?;
        let file = path.join("instance.id");
        let id = match instance { Some(i) => i.to_owned(), None => match std::fs::read_to_string(&file) { Ok(s) => s, Err(_) => { let id = format!("i-{}", std::process::id()); std::fs::write(&file, &id).map_err(Error::io("instance.id"))?; id } } };
        Ok(StateDirectory { path, instance: InstanceId(id.into()), incarnation: Incarnation(0) })
    }
    /// path
    pub fn path(&self) -> &Path { &self.path }
    /// instance
    pub fn instance(&self) -> &InstanceId { &self.instance }
    /// incarnation
    pub fn incarnation(&self) -> Incarnation { self.incarnation }
}
