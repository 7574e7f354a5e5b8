//! A WebSocket keeps its tenant, and holds no connection.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use boardinghouse_actix::{HostTable, TenantDb};
use boardinghouse_core::TenantPool;
use diesel::{QueryResult, RunQueryDsl as _, dsl::sql, sql_types::Text};
use tungstenite::{Message, WebSocket, client, client::IntoClientRequest as _};

use crate::{
    app::serve_routes,
    client::{get, until},
    fixture::Fixture,
};

/// Answers each message with a row of the tenant's.
async fn echo(
    request: HttpRequest,
    body: web::Payload,
    db: TenantDb,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(actix_ws::Message::Text(text))) = messages.recv().await {
            let query = diesel::select(sql::<Text>("(SELECT body FROM notes ORDER BY id LIMIT 1)"));
            let found = db
                .run(|conn| -> QueryResult<String> { query.get_result(conn) })
                .await;
            let answer =
                found.map_or_else(|error| error.to_string(), |row| format!("{text} {row}"));
            if session.text(answer).await.is_err() {
                break;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/ws", web::get().to(echo))
        .route("/", web::get().to(async |_: TenantDb| "ok"));
}

#[test]
fn each_socket_is_its_tenants_for_as_long_as_it_lasts_and_holds_no_connection() {
    // More sockets than connections; and what is believed ends with a notification alone, which the pool
    // hears before the cache of the registry does.
    let pool = TenantPool::builder().max_size(1);
    let fixture = Fixture::with_pool(pool.registry_ttl(Duration::from_secs(60)));
    let server = serve_routes(fixture.tenancy().resolver(HostTable), 1, routes);
    while !fixture.pool.state().listening {
        std::thread::yield_now();
    }
    let connect = |id: &str| {
        let mut request = format!("ws://{id}.test/ws").into_client_request().unwrap();
        // The same room for all.
        let headers = request.headers_mut();
        headers.insert("x-room", "lobby".parse().unwrap());
        let stream = std::net::TcpStream::connect(server.at).unwrap();
        client(request, stream).unwrap().0
    };
    let mut sockets: Vec<_> = ["acme", "globex", "acme", "globex"]
        .map(|id| (id, connect(id)))
        .into();
    let ask = |socket: &mut WebSocket<_>, text: &str| {
        socket.send(Message::text(text)).unwrap();
        socket.read().unwrap().into_text().unwrap().to_string()
    };
    for round in 0..20 {
        for (id, socket) in &mut sockets {
            let expected = format!("{round} from-{id}");
            assert_eq!(ask(socket, &round.to_string()), expected);
        }
    }
    // A tenant that is suspended meanwhile is not served on a socket that is open, either.
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    until(403, || get(server.at, "acme.test", "/"));
    let (_, acme) = &mut sockets[0];
    assert!(!ask(acme, "late").contains("from-"));
    let (_, globex) = &mut sockets[1];
    assert_eq!(ask(globex, "still"), "still from-globex");
}
