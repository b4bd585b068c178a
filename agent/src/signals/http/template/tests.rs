//! Tests of path templates.

use super::*;

const SERVICE: Service = ([1; 16], 80);

fn templates(templates: usize, values: usize) -> Templates {
    Templates::new(Limits { templates, values })
}

fn name(templates: &mut Templates, path: &str) -> String {
    learn(templates, SERVICE, path, Learn::Proven)
}

fn learn(templates: &mut Templates, service: Service, path: &str, learn: Learn) -> String {
    let target = Target::Path { path: path.as_bytes(), cut: false };
    templates.name(service, target, learn).text.to_string()
}

#[track_caller]
fn check(path: &str, expected: &str) {
    assert_eq!(name(&mut templates(200, 20), path), expected, "{path}");
}

#[test]
fn paths() {
    check("/", "/");
    check("", "/");
    check("/users", "/users");
    check("/users/", "/users");
    check("//users///42", "/users/{id}");
    check("/users/42/orders/1f3870be", "/users/{id}/orders/{hash}");
    check("/api/v1/users", "/api/v1/users");
    check("/static/app-5d41402a.css", "/static/app-{hash}.css");
    check("/a%2Fb/c", "/{param}/c");
}

#[test]
fn what_is_not_the_path_is_cut() {
    check("/search?q=secret", "/search");
    check("/search?q=/other", "/search");
    check("/page#part", "/page");
    check("/cars;color=red/42;x=1", "/cars/{id}");
    check("/;jsessionid=1234", "/");
}

#[test]
fn targets_that_are_no_paths() {
    let mut templates = templates(200, 20);
    for (target, expected) in [
        (Target::Asterisk, "*"),
        (Target::Authority, "{authority}"),
        (Target::Invalid, "{invalid}"),
        (Target::Path { path: b"/users/alice-the-fi", cut: true }, "/users/{rest}"),
        (Target::Path { path: b"/search?q=cut in the qu", cut: true }, "/search"),
    ] {
        assert_eq!(&*templates.name(SERVICE, target, Learn::Proven).text, expected);
    }
}

#[test]
fn long_and_deep_paths_end_early() {
    check(&"/a".repeat(40), &format!("{}/{{rest}}", "/a".repeat(11)));
    check(&"/a".repeat(12), &"/a".repeat(12));
    let long = format!("/{}", ["x"; 5].map(|x| x.repeat(30)).join("/"));
    let mut templates = templates(200, 20);
    let text = name(&mut templates, &long);
    assert!(text.len() <= tree::TEMPLATE_MAX && text.ends_with("/{rest}"), "{text}");
}

/// A word without digits, different for each number.
fn word(number: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
    format!("word{}{}{}", letter(number), letter(number / 26), letter(number / 676))
}

#[test]
fn a_position_with_many_words_is_merged() {
    let mut templates = templates(200, 20);
    for number in 0..20 {
        let path = format!("/blog/{}", word(number));
        assert_eq!(name(&mut templates, &path), path);
    }
    for number in 20..500 {
        assert_eq!(name(&mut templates, &format!("/blog/{}", word(number))), "/blog/{param}");
    }
    assert_eq!(name(&mut templates, &format!("/blog/{}", word(0))), "/blog/{param}");
    assert_eq!(name(&mut templates, "/blog/42/edit"), "/blog/{id}/edit");
    assert_eq!(name(&mut templates, "/about"), "/about");
}

#[test]
fn busy_words_keep_their_names() {
    let mut templates = templates(200, 20);
    for _ in 0..200 {
        name(&mut templates, "/orders");
        name(&mut templates, "/users/42");
    }
    for number in 0..100 {
        name(&mut templates, &format!("/{}", word(number)));
    }
    assert_eq!(name(&mut templates, "/orders"), "/orders");
    assert_eq!(name(&mut templates, "/users/7"), "/users/{id}");
    assert_eq!(name(&mut templates, &format!("/{}", word(3))), "/{param}");
}

#[test]
fn templates_are_bounded_per_service() {
    let mut templates = templates(10, 1000);
    for number in 0..10 {
        name(&mut templates, &format!("/{}", word(number)));
    }
    assert_eq!(name(&mut templates, "/one-more"), "/{other}");
    assert_eq!(name(&mut templates, &format!("/{}", word(3))), format!("/{}", word(3)));
    let other = ([1; 16], 81);
    assert_eq!(learn(&mut templates, other, "/one-more", Learn::Proven), "/one-more");
}

#[test]
fn scanners_do_not_use_up_the_names() {
    let mut templates = templates(200, 20);
    let scan = |templates: &mut Templates, number: usize| {
        learn(templates, SERVICE, &format!("/{}", word(number)), Learn::Tried)
    };
    name(&mut templates, "/users/42");
    for number in 0..1000 {
        let expected =
            if number < 9 { format!("/{}", word(number)) } else { "/{other}".to_owned() };
        assert_eq!(scan(&mut templates, number), expected);
    }
    for number in 2000..2019 {
        let path = format!("/{}", word(number));
        assert_eq!(name(&mut templates, &path), path);
    }
    assert_eq!(scan(&mut templates, 3), "/{other}");
    assert_eq!(learn(&mut templates, SERVICE, "/users/43", Learn::Tried), "/users/{id}");
    assert_eq!(name(&mut templates, "/one-more"), "/{param}");
    assert_eq!(scan(&mut templates, 3), "/{param}");
}

#[test]
fn ids_stand_for_texts() {
    let mut templates = templates(50, 20);
    let mut seen: FxHashMap<u32, Arc<str>> = FxHashMap::default();
    for round in 0..3_u16 {
        for number in 0..200 {
            let path = format!("/{}/{}", word(number % 7), word(number));
            let target = Target::Path { path: path.as_bytes(), cut: false };
            let name = templates.name(([0; 16], round), target, Learn::Proven);
            let text = seen.entry(name.id).or_insert_with(|| Arc::clone(&name.text));
            assert_eq!(*text, name.text);
        }
    }
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut templates = templates(200, 20);
    for number in 0..30_000_u32 {
        let port = u16::try_from(number % 997).unwrap();
        let number = usize::try_from(number / 7).unwrap();
        let path = format!("/{}/{}/{}/x", word(number % 19), word(number % 17), word(number % 13));
        learn(&mut templates, ([0; 16], port), &path, Learn::Proven);
        assert!(templates.nodes <= NODES_MAX && templates.services.len() <= SERVICES_MAX);
    }
    let counted: usize = templates.services.values().map(Tree::len).sum();
    assert_eq!(counted, templates.nodes);
}

/// Words that become `{param}` grow, and the whole must fit all the same. Found by fuzzing.
#[test]
fn placeholders_count_for_the_longest_template() {
    let mut templates = Templates::new(Limits { templates: 8, values: 3 });
    let paths: [&[u8]; 5] = [
        b",0(0,,0,,,0,,,,0,0(0,,,0,0(0/0(,,,0,0(0/0(,0(-,,,00,,,,,/0(,,0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff(-Z0,,/1",
        b"/cj",
        b"/",
        b"/$y;-",
        b"/1r0,/*/!/!(u!!!!!/!!!,,,,0,0(0,,0,,,0,,,,0,0(0,,,0,0(0/0(,,,0,0(0/0(\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6\xf6,0(-!!!!!!\x99,,,00,,,,,/0(,,0(-,,,00,,,,,\x99,\x99",
    ];
    for path in paths {
        let target = Target::Path { path, cut: path.len() % 5 == 4 };
        let learn = if path.len() % 7 == 6 { Learn::Tried } else { Learn::Proven };
        let name = templates.name(([0; 16], 80), target, learn);
        assert!(name.text.len() <= 100, "{}", name.text);
    }
}
