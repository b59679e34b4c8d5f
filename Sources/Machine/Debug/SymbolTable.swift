/// Names of addresses.
struct SymbolTable: Sendable {
    private(set) var byName: [String: UInt64] = [:]
    /// By address, and then as they were added.
    private var sorted: [(address: UInt64, name: String)] = []

    /// More are left out.
    static let limit = 2_000_000
    /// Farther from a symbol an address is not named after it; nobody says where the last one ends.
    private static let reach: UInt64 = 1 << 16, lastReach: UInt64 = 1 << 12

    var count: Int { sorted.count }

    func address(_ name: String) -> UInt64? { byName[name] }

    mutating func add(_ new: [(address: UInt64, name: String)]) {
        let room = max(0, SymbolTable.limit - sorted.count)
        for (address, name) in new.prefix(room) { byName[name] = address }
        sorted += new.prefix(room)
        sorted.sort { $0.address < $1.address }
    }

    mutating func removeAll() { self = SymbolTable() }

    /// The symbol at or before an address.
    func nearest(_ address: UInt64) -> (name: String, offset: UInt64)? {
        var low = 0, high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle].address <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let found = sorted[low - 1]
        let offset = address - found.address
        return offset < (low == sorted.count ? SymbolTable.lastReach : SymbolTable.reach) ? (found.name, offset) : nil
    }

    /// `start_kernel+0x10`; nil: nothing is near.
    func text(_ address: UInt64) -> String? {
        nearest(address).map { $0.offset == 0 ? $0.name : "\($0.name)+0x\(String($0.offset, radix: 16))" }
    }

    /// The symbol that is exactly there.
    func label(_ address: UInt64) -> String? { nearest(address).flatMap { $0.offset == 0 ? $0.name : nil } }

    /// Names that begin so.
    func names(_ prefix: String, limit: Int) -> [String] { Array(byName.keys.lazy.filter { $0.hasPrefix(prefix) }.prefix(limit)).sorted() }
}
