import Foundation

/// The debugger's values on the control socket: JSON within a string, whose numbers keep all their 64 bits.
enum DebugWire {
    static func text(_ value: some Encodable) throws -> String { String(decoding: try JSONEncoder().encode(value), as: UTF8.self) }
    static func value<T: Decodable>(_ text: String) throws -> T { try JSONDecoder().decode(T.self, from: Data(text.utf8)) }
}

extension DebugRequest {
    /// It changes nothing.
    var onlyLooks: Bool {
        queries.allSatisfy { query in
            switch query {
            case .command, .setRegister, .poke, .setBreakpoint, .deleteBreakpoint, .enableBreakpoint, .record, .go: false
            case .complete, .registers, .memory, .disassembly, .evaluate, .breakpoints, .branches, .history, .table, .walk, .translations, .pci, .devices,
                .timeline, .census, .activity: true
            }
        }
    }
}
