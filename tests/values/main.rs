//! Values are read and written as a live PostgreSQL reads and writes them.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod dense;
#[cfg(test)]
mod equal;
#[cfg(test)]
mod literals;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod server;
