import Foundation
import Machine

extension Host {
    /// A machine that runs, whoever runs it, and its control socket.
    /// - Throws: `.wrongPlace` when there is no such machine or nobody runs it.
    func live(_ name: String) throws(MachineError) -> (entry: MachineEntry, socket: String) {
        let store = store
        // One that is just being started has no socket yet.
        for _ in 0..<100 {
            let entry = try store.entry(name)
            guard entry.state.isLive else {
                throw MachineError(.wrongPlace, "The machine '\(name)' is \(entry.state.rawValue), not running; 'vitrine start \(name)' starts it.")
            }
            if let run = entry.run, !run.socket.isEmpty { return (entry, run.socket) }
            usleep(50_000)
        }
        throw MachineError(.wrongPlace, "The machine '\(name)' is still starting; try again.")
    }

    /// - Throws: as `live`.
    func client(_ name: String) throws(MachineError) -> ControlClient {
        try ControlClient(path: try live(name).socket, name: name)
    }
}
