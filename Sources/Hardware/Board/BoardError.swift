import Primitives

/// Why a board cannot be built from its settings.
public enum BoardError: Error, Equatable, Sendable {
    case portsOverlap(Port, String, String)
    case tooManyChips(Int)
    case memorySize(Int)
    case videoMemory(Int)
    case biosSize(Int)
    case vgaBIOS(Int)
    case processors(Int)
    /// Bytes that the host refused.
    case hostMemory(Int)
    case bootOrder(String)
    case floppyType(UInt8)
    case fileName(String)

    /// One sentence for the user.
    public var sentence: String {
        switch self {
        case .portsOverlap(let port, let first, let second):
            "I/O port 0x\(port.hex) is claimed twice, by \(first) and by \(second)."
        case .tooManyChips(let count): "The board has room for 254 chips, not \(count)."
        case .memorySize(let mib): "The memory size must be 1 to \(BoardSettings.maximumRAMMiB) MiB, not \(mib)."
        case .videoMemory(let mib): "The video memory must be 1, 2, 4, 8 or 16 MiB, not \(mib)."
        case .biosSize(let bytes): "The BIOS image must have 64, 128 or 256 KiB, not \(bytes) bytes."
        case .vgaBIOS(let bytes): "The VGA BIOS image of \(bytes) bytes is not an option ROM of at most 64 KiB."
        case .processors(let count): "This board has sockets for 1 to \(BoardSettings.maximumCPUs) processors, not \(count)."
        case .hostMemory(let bytes): "The host refused \(bytes >> 20) MiB of address space for the guest's memory."
        case .bootOrder(let text): "The boot order \"\(text)\" must consist of the letters a, c, d and n, each at most once."
        case .floppyType(let type): "Floppy drive type \(type) does not exist; 0 to 5 do."
        case .fileName(let name): "The firmware file name \"\(name)\" is empty or longer than 55 bytes."
        }
    }
}
