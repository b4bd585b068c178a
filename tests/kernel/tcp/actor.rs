//! Processes that do as they are told: this program again, with commands on its standard input.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use shipwake::process::ProcessKey;

use crate::net;

/// Marks answers among what the test runner prints.
const ANSWER: &str = "@answer ";

/// A process under the test's control.
pub struct Actor {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    /// Starts one in the network namespace of the calling thread.
    pub fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tcp::actor::body", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    pub fn tgid(&self) -> u32 {
        self.child.id()
    }

    /// The key under which measurements name it; `/proc` is the witness.
    pub fn key(&self) -> ProcessKey {
        let tgid = self.tgid();
        let stat = std::fs::read_to_string(format!("/proc/{tgid}/stat")).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        let start_ticks = fields.split_whitespace().nth(19).unwrap().parse::<u64>().unwrap() as u32;
        ProcessKey { tgid, start_ticks }
    }

    /// Gives a command and waits for its answer.
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Gives a command.
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// Waits for the answer of a command.
    pub fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the actor is gone");
            if let Some((_, answer)) = line.trim_end().split_once(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    /// Gives a command that must succeed.
    pub fn order(&mut self, command: &str) {
        assert_eq!(self.ask(command), "ok", "{command}");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an actor holds.
#[derive(Default)]
struct Stage {
    listener: Option<TcpListener>,
    streams: Vec<TcpStream>,
}

impl Stage {
    fn perform(&mut self, command: &str) -> io::Result<String> {
        let (verb, argument) = command.split_once(' ').unwrap_or((command, ""));
        let number = argument.parse::<usize>().unwrap_or(0);
        match verb {
            "listen" => {
                let listener = TcpListener::bind(argument)?;
                let address = listener.local_addr()?;
                self.listener = Some(listener);
                return Ok(address.to_string());
            }
            "accept_in_child" => return self.accept_in_child(),
            "accept" => self.streams.push(self.listener()?.accept()?.0),
            "connect" => self.streams.push(TcpStream::connect(argument)?),
            "connect_deaf" => self.connect_deaf(argument)?,
            "connect_impatient" => self.connect_impatient(argument)?,
            "connect_nonblocking" => self.connect_nonblocking(argument)?,
            "send" => self.stream()?.write_all(&vec![7; number])?,
            "receive" => self.stream()?.read_exact(&mut vec![0; number])?,
            "lose" => net::lose(self.stream()?.as_raw_fd(), number as u32)?,
            "lose_nothing" => net::lose_nothing(self.stream()?.as_raw_fd())?,
            "listener_loses_all" => net::lose(self.listener()?.as_raw_fd(), 100)?,
            "reset" => net::reset_on_close(self.streams.pop().ok_or(NOTHING)?.as_raw_fd())?,
            "close" => drop(self.streams.pop()),
            "close_all" => self.streams.clear(),
            "await_end" => drop(self.stream()?.read(&mut [0])?),
            _ => return Err(io::Error::other(format!("no such command: {command}"))),
        }
        Ok("ok".to_owned())
    }

    /// Lets a child, whose pid is the answer, accept a connection and read it to its end.
    fn accept_in_child(&mut self) -> io::Result<String> {
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "tcp::actor::acceptor", "--ignored", "--nocapture"])
            .stdin(OwnedFd::from(self.listener()?.try_clone()?))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(child.id().to_string())
    }

    /// Connects with a socket that hears nothing until 1.5 seconds have passed, so that both sides repeat
    /// their part of the handshake.
    fn connect_deaf(&mut self, address: &str) -> io::Result<()> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = net::socket_for(address)?;
        net::lose(stream.as_raw_fd(), 100)?;
        let again = stream.try_clone()?;
        let hear = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1500));
            net::lose_nothing(again.as_raw_fd())
        });
        net::connect(&stream, address)?;
        hear.join().map_err(|_| io::Error::other("panicked"))??;
        self.streams.push(stream);
        Ok(())
    }

    /// Connects, unless it takes longer than half a second.
    fn connect_impatient(&mut self, address: &str) -> io::Result<()> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = net::socket_for(address)?;
        net::user_timeout(stream.as_raw_fd(), 500)?;
        net::connect(&stream, address)?;
        self.streams.push(stream);
        Ok(())
    }

    /// Begins to connect and keeps the socket whatever comes of it.
    fn connect_nonblocking(&mut self, address: &str) -> io::Result<()> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = net::socket_for(address)?;
        stream.set_nonblocking(true)?;
        let begun = net::connect(&stream, address);
        self.streams.push(stream);
        begun
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.streams.last_mut().ok_or(NOTHING.into())
    }

    fn listener(&self) -> io::Result<&TcpListener> {
        self.listener.as_ref().ok_or(NOTHING.into())
    }
}

const NOTHING: io::ErrorKind = io::ErrorKind::NotFound;

#[test]
#[ignore = "the body of an actor, started by the tests"]
fn body() {
    let mut stage = Stage::default();
    for command in io::stdin().lines() {
        let answer = match stage.perform(&command.unwrap()) {
            Ok(answer) => answer,
            Err(error) => error.raw_os_error().map_or(error.to_string(), |code| code.to_string()),
        };
        println!("{ANSWER}{answer}");
    }
}

#[test]
#[ignore = "the body of a process that accepts for its parent, started by an actor"]
fn acceptor() {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}
